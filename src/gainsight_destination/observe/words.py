"""What reasons, notices and states are called for people. The codes themselves stay in JSON and in the metrics.

One table for `status`, `trace` and `demo`; a test holds it complete.
"""

from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, Mapping[str, str]]] = {
    "discarded": {
        "bad_request": "not a JSON object that can be read",
        "batch_too_long": "beyond the 2,500th message of a batch",
        "message_too_large": "over 32 KB",
        "type_not_supported": "of a type that Segment does not have",
        "deletion_request": "that ask to delete a user; nothing is deleted, do it in Gainsight",
        "no_user_anon_id": "without a user: neither userId nor anonymousId",
        "id_not_string": "with an id that is no text",
        "event_not_defined": "without an event name",
        "event_not_string": "with an event name that is no text",
        "group_id_required": "group calls without a groupId",
        "previous_id_required": "alias calls without a previousId",
        "name_not_string": "with a page name that is no text",
        "category_not_string": "with a page category that is no text",
        "traits_not_object": "with traits that are no object",
        "properties_not_object": "with properties that are no object",
        "source_disabled": "of a source that is disabled",
        "unknown_source": "with a write key that is nobody's",
        "internal_error": "set aside because of a mistake of ours; please report it",
    },
    "filtered": {
        "unsupported_type": "page views and other types that it does not get",
        "end_user_consent": "whose users did not consent to it",
        "integrations_object": "that the sender keeps from it (integrations)",
        "event_not_listed": "not in your list of events",
        "no_email": "about users whose e-mail is not known",
        "only_fires": "events that only fire triggers, taken in by a replay, which fires none",
        "switched_off": "events, while event rows and daily usage are both switched off",
        "untrusted_account": "of a source with limited trust, about another account than the user's",
        "no_account": "that waited in vain to learn their account",
        "unknown_company": "that waited in vain for their company to be in Gainsight",
    },
    "parked": {
        "no_account": "waiting to learn their account",
        "unknown_company": "for a company Gainsight does not have",
    },
}

BOOKS: Final[Mapping[str, str]] = {
    "discarded": "could not be used",
    "duplicates": "had come before",
    "filtered": "are not for this destination",
    "parked": "wait for what is not known yet",
    "pending": "are on their way",
    "delivered": "have arrived",
    "dead": "were refused",
}
"""What each part of the books says of its messages; the part's own name stands before it."""

RECORD_STATES: Final[Mapping[str, str]] = {
    "clean": "up to date",
    "dirty": "waiting",
    "queued": "waiting for their user's message before",
    "parked": "waiting for Gainsight to have their company",
    "dead": "refused",
}

NOTICES: Final[Mapping[str, str]] = {
    "doubtful_account_id": "account ids that may not be Salesforce's",
    "message_id_conflict": "messages that came twice with different content; the first counts",
    "number_as_id": "messages with a number as an id, taken as its digits",
    "unreadable_timestamp": "messages whose timestamp is no date; the time of receipt counts",
    "future_timestamp": "messages dated more than an hour after their receipt",
    "odd_email": "e-mails without the shape of an address, not used",
    "untrusted_account_ignored": "accounts that a source with limited trust named in vain; see what it sends",
    "trait_unmapped": "traits that have no field in Gainsight, not sent",
    "field_not_writable": "fields that are missing or read-only in Gainsight, left out",
    "value_skipped": "values that do not fit their field's type, left out; correct what is sent, or the field's type",
    "option_unknown": "values that are no active option of their picklist, left out; send an option, or add it there",
    "null_skipped": "nulls for fields that Gainsight lets nobody empty, left out; the value before stays",
    "text_cut": "texts cut to their field's length",
    "trigger_not_fired": "events older than triggerHours, or imported, whose trigger was not fired",
    "object_nearly_full": "objects with more than 80 % of the rows that Gainsight lets them hold",
    "upload_refused": "files that Gainsight refused; look at the job in bulkJobs. Their records go by calls",
    "internal_error": "requests set aside because of an internal error; please report them",
}


SKIPPED: Final[Mapping[str, str]] = {
    "discarded": "that could not be used",
    "duplicate": "that had come before",
    "internal_error": "set aside because of a mistake of ours; please report it",
    "not_connected": "of a source that is not connected to it",
    "not_remembered": "resolved by an earlier version, of which too little is known to take them in",
    "already_delivered": "that it got already; --again sends them once more",
    "on_its_way": "that are on their way to it anyway",
}
"""Why a replay does nothing for a message, beside the reasons for which messages are filtered or parked."""


def skip_words(reason: str) -> str:
    """Why a replay skipped messages."""
    return SKIPPED.get(reason) or REASONS["parked"].get(reason) or reason_words("filtered", reason)


def reason_words(state: str, reason: str) -> str:
    """What a reason is called; a newer one than this table by its code."""
    return REASONS.get(state, {}).get(reason, reason)


def unmapped_trait(subject: str, times: int) -> str:
    """The notice of one trait, `Company.plan` or `Person.plan`, with what to do about it."""
    object_name, _, trait = subject.partition(".")
    setting = {"company": "companyFields", "person": "personFields"}.get(object_name.lower(), "companyFields")
    came = "once" if times == 1 else f"{times:,} times"
    return f"the trait `{trait}` came {came} and has no Gainsight field; map it with {setting}"
