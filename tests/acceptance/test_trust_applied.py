"""A running server takes over the trust of its sources, also for what it has delivered already."""

from collections.abc import Callable

from tests.support.system import WRITE_KEY, System, wait_until

BACKEND_KEY = "test-write-key-2"


def test_a_source_that_gets_limited_trust(make_system: Callable[..., System]) -> None:
    """A changed workspace moves the events of a placed user back from where the website put them, in Gainsight too."""
    website, backend = {"name": "website", "writeKey": WRITE_KEY}, {"name": "backend", "writeKey": BACKEND_KEY}
    system = make_system(sources=[website, backend])
    client = system.sdk(BACKEND_KEY)
    client.group("ana", "acme.test")
    client.flush()
    client.shutdown()
    system.send(("group", {"user_id": "ana", "group_id": "evil.test"}), ("track", {"user_id": "ana", "event": "Seen"}))

    def event_is_on(account: str) -> bool:
        return [row["Account_Id__gc"] for row in system.rows("Segment_Event__gc")] == [account]

    wait_until(lambda: event_is_on("evil.test"), "the event")
    system.sources = [website | {"trust": "limited"}, backend]
    system.apply_workspace()
    wait_until(lambda: event_is_on("acme.test"), "the move of the event")
    document = system.status_in_files()
    assert document["destinations"]["gainsight"]["filtered"] == {"untrusted_account": 1}
    assert document["notices"]["untrusted_account_ignored"] == {"evil.test": 1}
