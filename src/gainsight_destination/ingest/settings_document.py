"""The settings document, which browser and mobile SDKs fetch at their start: who they send to, and how.

It puts every SDK into cloud mode against this port. Only `Segment.io` is listed, since analytics.js fetches a script
for every other name; without `metrics.sampleRate: 0` SDKs send measurements of themselves to Segment. Which SDK reads
what was read in the published code of analytics-next, analytics-kotlin, -swift, -csharp and -react-native.
"""

import re

from gainsight_destination.ingest.answers import NOT_KEPT, Answer, RefusedRequestError, failure, json_answer
from gainsight_destination.ingest.public_url import PublicUrl
from gainsight_destination.ingest.requests import Request
from gainsight_destination.ingest.sources import SourceDirectory

WRITE_KEY = re.compile(r"/projects/+(?:projects/+)*(.+)/settings/*", re.IGNORECASE)

KEPT = (b"cache-control", b"public, max-age=300")
"""Browsers fetch the document with every page; five minutes is how long a disabled source may go on sending."""
UNKNOWN = failure(404, "not_found", "There is no enabled source with this write key", [NOT_KEPT])


class SettingsDocuments:
    """Answers `/v1/projects/WRITE_KEY/settings`.

    Without a public URL the document names the host that was asked for, which whoever asks can choose. So nobody on the
    way may keep such an answer and give it to another.
    """

    def __init__(self, sources: SourceDirectory, public_url: PublicUrl | None) -> None:
        self._sources = sources
        self._public_url = public_url

    async def answer(self, request: Request) -> Answer:
        """The document; 404 for a write key of no enabled source, as Segment's CDN."""
        if request.method not in ("GET", "HEAD"):
            raise RefusedRequestError("Settings are read with GET")
        match = WRITE_KEY.search(request.path)
        source = self._sources.source_of(match[1]) if match else None
        if source is None or not source.enabled:
            return UNKNOWN
        url = self._public_url or PublicUrl.asked(request.scheme, request.headers.get(b"host"))
        if url is None:
            raise RefusedRequestError("Malformed request: the Host header is missing or is no host name")
        # An answer that is kept must tell that it differs by Origin also when it was asked for without one.
        varies = () if b"origin" in request.headers else ((b"vary", b"Origin"),)
        return json_answer(200, document(source.write_key, url), [KEPT if self._public_url else NOT_KEPT, *varies])


def document(write_key: str, url: PublicUrl) -> dict[str, object]:
    """The smallest document with which every SDK sends to `url`, and only there."""
    segment = {
        "apiKey": write_key,
        "apiHost": f"{url.host}{url.path}/v1",
        "protocol": url.scheme,
        "unbundledIntegrations": [],
        "addBundledMetadata": True,
        "maybeBundledConfigIds": {},
        "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
    }
    enabled = {"__default": {"enabled": True}}
    return {
        "integrations": {"Segment.io": segment},
        "plan": {
            "track": {"__default": {"enabled": True, "integrations": {}}},
            "identify": enabled,
            "group": enabled,
        },
        "edgeFunction": {},
        "analyticsNextEnabled": True,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }
