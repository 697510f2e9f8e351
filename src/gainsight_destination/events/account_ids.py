"""Account ids: what is one, and when two spellings are the same Salesforce account.

Salesforce shows a 15-character, case-sensitive id and its API an 18-character one: the same 15 with a suffix that
encodes their case, so that it survives systems which ignore case. Any other text is a legal account id too.
"""

import re
from functools import lru_cache
from typing import Final

ACCOUNT_PREFIX: Final = "001"
"""Salesforce's key prefix of the Account object."""

_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_SALESFORCE_15: Final = re.compile(r"[0-9A-Za-z]{15}")
_SALESFORCE_18: Final = re.compile(r"[0-9A-Za-z]{15}[A-Z0-5]{3}")


def salesforce_suffix(id15: str) -> str:
    """The three characters that turn a 15-character id into its 18-character form."""
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(1 << k for k, character in enumerate(id15[start : start + 5]) if "A" <= character <= "Z")
        suffix += _ALPHABET[bits]
    return suffix


@lru_cache(maxsize=65_536)
def normalise_account_id(text: str) -> str:
    """The account id as it is stored and compared: trimmed; a 15-character Salesforce Account id becomes 18."""
    trimmed = text.strip()
    if len(trimmed) == 15 and trimmed.startswith(ACCOUNT_PREFIX) and _SALESFORCE_15.fullmatch(trimmed):
        return trimmed + salesforce_suffix(trimmed)
    return trimmed


def spellings(account_id: str) -> tuple[str, ...]:
    """The forms under which a Company may hold this account id: as it is, and the 15-character form of an 18."""
    if _is_account_18(account_id) and salesforce_suffix(account_id[:15]) == account_id[15:]:
        return (account_id, account_id[:15])
    return (account_id,)


@lru_cache(maxsize=65_536)
def doubt(account_id: str) -> str | None:
    """Why a normalised account id may not be a Salesforce Account id, in words; None when it looks right."""
    if _is_account_18(account_id):
        if salesforce_suffix(account_id[:15]) != account_id[15:]:
            return "its last three characters do not fit the letter case of the first fifteen"
        return None
    if not account_id.startswith(ACCOUNT_PREFIX):
        return "it does not begin with 001, as the ids of Salesforce Accounts do"
    return f"it has {len(account_id)} characters, and a Salesforce Account id has 15 or 18"


def _is_account_18(account_id: str) -> bool:
    return account_id.startswith(ACCOUNT_PREFIX) and _SALESFORCE_18.fullmatch(account_id) is not None
