"""Account ids: trimmed; a 15-character id that begins with 001 is written with 18; nothing else is changed."""

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def suffix(short: str) -> str:
    """Salesforce: each five characters give one; which of them are capital is read as a binary number, first lowest."""
    return "".join(
        ALPHABET[sum(2**k for k in range(5) if short[start + k] in "ABCDEFGHIJKLMNOPQRSTUVWXYZ")]
        for start in (0, 5, 10)
    )


def account_id(text: str) -> str:
    """An account id as it is compared and delivered."""
    text = text.strip()
    is_salesforce = len(text) == 15 and text.startswith("001") and text.isascii() and text.isalnum()
    return text + suffix(text) if is_salesforce else text


def same_account(one: str, other: str) -> bool:
    """Whether a Company stored under one id is the Company of the other: the two forms are one account."""
    return account_id(one) == account_id(other)
