"""The objects of a fresh tenant: Gainsight's standard ones, and the two that design of the usage data asks for."""

from typing import Final

from gainsight_destination.sandbox.identifiers import key_prefix
from gainsight_destination.sandbox.schema import SYSTEM_FIELDS, DataType, Field, Object, Option, custom_object

LONG_TEXT: Final = 32_000


def standard(name: str, data_type: DataType = "STRING", **rest: object) -> Field:
    return Field(name, data_type, group="STANDARD", **rest)  # type: ignore[arg-type]


def picklist(name: str, *labels: str, read_only: bool = False) -> Field:
    options = tuple(Option(label) for label in labels)
    return Field(name, "PICKLIST", group="STANDARD", options=options, read_only=read_only)


COMPANY: Final = Object(
    "Company",
    "Company",
    key_prefix("1P02", "company"),
    (
        *SYSTEM_FIELDS,
        standard("Name", required=True, nillable=False),
        standard("SfdcAccountId", "SFDCID", label="SFDC Account Id", length=18),
        standard("Industry"),
        standard("Employees", "NUMBER"),
        standard("Users", "NUMBER"),
        standard("Arr", "CURRENCY", label="ARR"),
        standard("Mrr", "CURRENCY", label="MRR"),
        standard("LifecycleInWeeks", "NUMBER"),
        standard("CustomerlifetimeInMonths", "NUMBER"),
        standard("OriginalContractDate", "DATE"),
        standard("RenewalDate", "DATE"),
        picklist("Stage", "New Customer", "Kicked Off", "Launched", "Adopting", "Will Churn", "Churn"),
        picklist("Status", "Active", "Inactive", "Churn"),
        picklist("ManagedAs", "Customer", "Ex-customer", "Partner", "Prospect", read_only=True),
        Field(
            "Tags",
            "MULTISELECTDROPDOWNLIST",
            group="STANDARD",
            options=(Option("Reference"), Option("Beta"), Option("At Risk"), Option("Old Programme", active=False)),
        ),
        standard("Csm", "LOOKUP", label="CSM", lookup="gsuser"),
        standard("ParentCompany", "LOOKUP", lookup="Company"),
        standard("BillingAddress", length=1_000),
        standard("Summary", "RICHTEXTAREA", length=LONG_TEXT),
        standard("TickerSymbol", length=20),
        standard("CurrentScore", "NUMBER", read_only=True),
        standard("Nps", "NUMBER", label="NPS", read_only=True),
    ),
    type="STANDARD",
)

GSUSER: Final = Object(
    "gsuser",
    "User",
    key_prefix("1P01", "gsuser"),
    (
        *SYSTEM_FIELDS,
        standard("Name", nillable=False),
        standard("FirstName"),
        standard("LastName"),
        standard("Email", "EMAIL", nillable=False),
        standard("IsActiveUser", "BOOLEAN"),
    ),
    type="STANDARD",
    write_with="nothing",
)

PERSON: Final = Object(
    "person",
    "Person",
    key_prefix("1P03", "person"),
    (
        *SYSTEM_FIELDS,
        standard("Email", "EMAIL", required=True, nillable=False),
        standard("Name"),
        standard("FirstName"),
        standard("MiddleName"),
        standard("LastName"),
        standard("LinkedinUrl", "URL"),
        standard("Location"),
        standard("Timezone"),
        standard("Comments", length=4_000),
        standard("EmailOptOut", "BOOLEAN"),
        Field("ExternalRecordID__gc", group="STANDARD"),
    ),
    type="STANDARD",
    write_with="people",
)

COMPANY_PERSON: Final = Object(
    "company_person",
    "Company Person",
    key_prefix("1C01", "company_person"),
    (
        *SYSTEM_FIELDS,
        standard("Company_ID", "LOOKUP", lookup="Company", required=True, nillable=False),
        standard("Person_ID", "LOOKUP", lookup="person", required=True, nillable=False),
        standard("Title"),
        standard("Role"),
        standard("IsPrimaryCompany", "BOOLEAN"),
        standard("Manager", "LOOKUP", lookup="person"),
        standard("Active", "BOOLEAN"),
    ),
    type="STANDARD",
    write_with="people",
)

DELETE_LOG: Final = Object(
    "record_delete_log",
    "Record Delete Log",
    key_prefix("1S0D", "record_delete_log"),
    (
        *SYSTEM_FIELDS,
        standard("RecordId", "GSID", read_only=True),
        standard("ObjectName", read_only=True),
        standard("DeletedOn", "DATETIME", read_only=True),
    ),
    type="SYSTEM",
    write_with="nothing",
)

EVENTS: Final = custom_object(
    "Segment_Event__gc",
    "Segment Event",
    (
        Field("Message_Id__gc"),
        Field("Event_Name__gc"),
        Field("Event_Time__gc", "DATETIME"),
        Field("User_Id__gc"),
        Field("Account_Id__gc"),
        Field("Company_Id__gc", "LOOKUP", lookup="Company"),
        Field("Person_Id__gc", "LOOKUP", lookup="person"),
        Field("Properties__gc", length=LONG_TEXT),
    ),
)

DAILY_USAGE: Final = custom_object(
    "Segment_Usage_Daily__gc",
    "Segment Usage Daily",
    (
        Field("Usage_Key__gc"),
        Field("Usage_Date__gc", "DATE"),
        Field("Event_Name__gc"),
        Field("User_Id__gc"),
        Field("Account_Id__gc"),
        Field("Company_Id__gc", "LOOKUP", lookup="Company"),
        Field("Person_Id__gc", "LOOKUP", lookup="person"),
        Field("Event_Count__gc", "NUMBER"),
        Field("First_At__gc", "DATETIME"),
        Field("Last_At__gc", "DATETIME"),
    ),
)

FRESH_TENANT: Final = (COMPANY, GSUSER, PERSON, COMPANY_PERSON, DELETE_LOG, EVENTS, DAILY_USAGE)
