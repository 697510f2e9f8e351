"""What a fresh tenant holds: objects, a few users, and Companies as a Salesforce sync leaves them. No people yet."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from gainsight_destination.errors import InvalidSettingsError
from gainsight_destination.sandbox.bulk import SEEDED_JOBS, save_bulk_job
from gainsight_destination.sandbox.events_framework import SEEDED_TOPICS, set_topics
from gainsight_destination.sandbox.rows import Record, insert_row, rows_matching, update_row
from gainsight_destination.sandbox.schema import Object, get_object, save_object
from gainsight_destination.sandbox.standard import FRESH_TENANT, GSUSER
from gainsight_destination.sandbox.tenant import Tenant
from gainsight_destination.sandbox.validate import RefusedRecordError, check_values

SUFFIX_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
TABLES: Final = (
    "row_keys", "rows", "objects", "settings", "tokens", "jobs", "bulk_jobs", "quota", "fault_rules", "calls",
    "published_events", "topics", "messages", "message_accounts",
)  # fmt: skip

USERS: Final = (("Ada", "Lovelace"), ("Grace", "Hopper"), ("Annie", "Easley"))

COMPANIES: Final = (
    ("Northwind Traders", "0015000000abcDE", "Retail", 1_200, "Adopting", "2027-03-31"),
    ("Initech", "001A0000006Vm9r", "Software", 340, "Launched", "2027-01-15"),
    ("Globex", "001A0000006VM9r", "Manufacturing", 8_800, "Adopting", "2026-12-31"),
    ("Umbrella Health", "0015000001HeaLt", "Healthcare", 15_000, "Kicked Off", "2027-06-30"),
    ("Hooli", "0015000001HooLi", "Software", 21_000, "Adopting", "2027-02-28"),
    ("Stark Industries", "0015000001StaRk", "Manufacturing", 46_000, "Launched", "2027-09-30"),
    ("Acme Corporation", "0015000001acMeC", "Retail", 95, "New Customer", "2027-11-30"),
    ("Wayne Enterprises", "0015000001wAYne", "Finance", 31_000, "Adopting", "2027-04-30"),
    ("Tyrell", "0015000001TYREl", "Biotechnology", 760, "Launched", "2027-05-31"),
    ("Cyberdyne", "0015000001cyBer", "Software", 2_300, "Will Churn", "2026-12-15"),
    ("Soylent Foods", "0015000001soyLe", "Food", 5_400, "Kicked Off", "2027-08-31"),
)
STORED_SHORT: Final = ("Vandelay Industries", "0015000001VanDe", "Logistics", 58, "New Customer", "2027-07-31")
"""A Company whose Salesforce id was stored with 15 characters, as some tenants have them."""


def is_fresh(connection: sqlite3.Connection) -> bool:
    """Whether the file was never seeded."""
    return connection.execute("SELECT 1 FROM settings WHERE name = 'random_seed'").fetchone() is None


def reset(tenant: Tenant, *, random_seed: str, companies: Sequence[Mapping[str, Any]] | None) -> None:
    """Empty the tenant and seed it: default switches, no faults, no calls, a quota unspent.

    Raises InvalidSettingsError when the given Companies do not fit.
    """
    for table in TABLES:
        tenant.connection.execute(f"DELETE FROM {table}")
    tenant.connection.executemany(
        "INSERT INTO settings VALUES (?, ?)", [("random_seed", random_seed), ("random_count", 0)]
    )
    for fresh in FRESH_TENANT:
        save_object(tenant.connection, fresh)
    managers = [_add_user(tenant, first, last) for first, last in USERS]
    add_companies(tenant, list(_seeded_companies(managers)) if companies is None else companies)
    set_topics(tenant, SEEDED_TOPICS)
    for job_id, job in SEEDED_JOBS.items():
        save_bulk_job(tenant, job_id, job)


def add_companies(tenant: Tenant, companies: Sequence[Mapping[str, Any]]) -> list[Record]:
    """Add Companies as a later Salesforce sync would: one with a known SfdcAccountId changes. Return their rows.

    Raises InvalidSettingsError, and then adds none.
    """
    target = get_object(tenant, "Company")
    try:
        values = [check_values(tenant, target, company, inserting=True) for company in companies]
    except RefusedRecordError as error:
        raise InvalidSettingsError([f"companies: {one.text}" for one in error.errors]) from error
    return [_sync(tenant, target, company) for company in values]


def _sync(tenant: Tenant, target: Object, company: Record) -> Record:
    known = rows_matching(tenant, target, {"SfdcAccountId": company.get("SfdcAccountId")})
    return update_row(tenant, target, known[0]["Gsid"], company) if known else insert_row(tenant, target, company)


def with_suffix(salesforce_id: str) -> str:
    """The 18-character form of a 15-character Salesforce id; what is added tells which of its letters are capital."""
    suffix = ""
    for start in (0, 5, 10):
        capitals = [character.isupper() for character in salesforce_id[start : start + 5]]
        suffix += SUFFIX_LETTERS[sum(1 << position for position, capital in enumerate(capitals) if capital)]
    return salesforce_id + suffix


def _seeded_companies(managers: Sequence[str]) -> Iterable[dict[str, Any]]:
    for position, company in enumerate((*COMPANIES, STORED_SHORT)):
        name, account_id, industry, employees, stage, renewal = company
        yield {
            "Name": name,
            "SfdcAccountId": account_id if company is STORED_SHORT else with_suffix(account_id),
            "Industry": industry,
            "Employees": employees,
            "Stage": stage,
            "Status": "Active",
            "Arr": employees * 12,
            "RenewalDate": renewal,
            "Csm": managers[position % len(managers)],
        }


def _add_user(tenant: Tenant, first_name: str, last_name: str) -> str:
    user = {
        "Name": f"{first_name} {last_name}",
        "FirstName": first_name,
        "LastName": last_name,
        "Email": f"{first_name}.{last_name}@sandbox.example".lower(),
        "IsActiveUser": True,
    }
    return str(insert_row(tenant, GSUSER, user)["Gsid"])
