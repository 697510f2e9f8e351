"""Random words that open something, and the digests that are stored in their place."""

import hashlib
import secrets

BYTES = 32


def new_word() -> str:
    """256 random bits, as text for a URL or a cookie."""
    return secrets.token_urlsafe(BYTES)


def digest_of(word: str) -> bytes:
    """What is stored of it: the word itself is random, so that a plain SHA-256 cannot be guessed back."""
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
