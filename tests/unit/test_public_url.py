"""Reading --public-url: what is taken, and what the message says about the rest."""

import pytest

from gainsight_destination.errors import UserError
from gainsight_destination.ingest.public_url import PublicUrl


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://events.acme.test", PublicUrl("https", "events.acme.test")),
        ("https://events.acme.test/", PublicUrl("https", "events.acme.test")),
        ("https://events.acme.test:8443/in/segment/", PublicUrl("https", "events.acme.test:8443", "/in/segment")),
        ("HTTP://localhost:8080", PublicUrl("http", "localhost:8080")),
        ("https://[2001:db8::1]:8443", PublicUrl("https", "[2001:db8::1]:8443")),
        ("https://10.0.0.1", PublicUrl("https", "10.0.0.1")),
    ],
)
def test_public_urls_are_read(text: str, expected: PublicUrl) -> None:
    """Scheme, host with its port, and a path without a slash at its end."""
    assert PublicUrl.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("events.acme.test", "must be https://HOST"),
        ("//events.acme.test", "must be https://HOST"),
        ("ftp://events.acme.test", "must be https://HOST"),
        ("https://", "must be https://HOST"),
        ("https:///v1", "must be https://HOST"),
        ("https://user@events.acme.test", "no user"),
        ("https://events.acme.test?", "no query"),
        ("https://events.acme.test/#a", "no fragment"),
        ("https://events acme.test", "is not HOST or HOST:PORT"),
        ("https://events.acme.test:0", "is not HOST or HOST:PORT"),
        ("https://events.acme.test:99999", "is not HOST or HOST:PORT"),
        ("https://events.acme.test:x", "is not HOST or HOST:PORT"),
        ("https://[::1", "is not a URL"),
        ("https://[zz]", "is not"),
        ("https://events.acme.test/a b", "letters, digits"),
        ("https://events.acme.test//a", "letters, digits"),
        ("https://events.acme.test/v1", "leave out /v1"),
        ("https://events.acme.test/in/V1/", "leave out /v1"),
    ],
)
def test_wrong_public_urls_say_what_to_change(text: str, advice: str) -> None:
    """Whoever types one wrong reads what was typed and what is expected."""
    with pytest.raises(UserError) as refused:
        PublicUrl.parse(text)
    assert advice in str(refused.value)
    assert repr(text) in str(refused.value)
