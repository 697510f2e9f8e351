"""How to point Segment's SDKs at this server, ready to paste."""

from typing import NamedTuple

from gainsight_destination.workspace.model import Source, SourceKind


class Snippet(NamedTuple):
    """Code for one SDK."""

    name: str
    code: str


def of_kind(source: Source, url: str, key: str) -> list[Snippet]:
    """The snippets for a kind of source. `url` is where the public port is reached."""
    bare = url.removeprefix("https://").removeprefix("http://")
    if source.kind is SourceKind.WEBHOOK:
        return [Snippet("Webhook URL", f"{url}/v1/webhook/{key}")]
    if source.kind is SourceKind.IMPORT:
        return [Snippet("Command", f"gainsight-destination import FOLDER --source {quoted(source.name)}")]
    curl = Snippet("curl", curl_of(url, key))
    if source.kind is SourceKind.WEBSITE:
        return [Snippet("Browser (npm)", browser_of(url, key)), curl]
    if source.kind is SourceKind.MOBILE:
        return [Snippet("Swift", swift_of(bare, key)), Snippet("Kotlin", kotlin_of(bare, key)), curl]
    return [Snippet("Python", python_of(url, key)), Snippet("Node", node_of(url, key)), curl]


def quoted(name: str) -> str:
    return "'" + name.replace("'", "'\\''") + "'"


def curl_of(url: str, key: str) -> str:
    return (
        f"curl -u {key}: {url}/v1/track \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        """  -d '{"userId": "u1", "event": "Signed Up", "properties": {"accountId": "0015e00000ABCDEAA5"}}'"""
    )


def browser_of(url: str, key: str) -> str:
    return f"""import {{ AnalyticsBrowser }} from '@segment/analytics-next'

export const analytics = AnalyticsBrowser.load({{ writeKey: '{key}', cdnURL: '{url}' }})

analytics.identify('u1', {{ email: 'ada@example.com', accountId: '0015e00000ABCDEAA5' }})
analytics.track('Signed Up')"""


def python_of(url: str, key: str) -> str:
    return f"""import segment.analytics as analytics

analytics.write_key = '{key}'
analytics.host = '{url}'

analytics.identify('u1', {{'email': 'ada@example.com', 'accountId': '0015e00000ABCDEAA5'}})
analytics.track('u1', 'Signed Up')"""


def node_of(url: str, key: str) -> str:
    return f"""import {{ Analytics }} from '@segment/analytics-node'

const analytics = new Analytics({{ writeKey: '{key}', host: '{url}' }})

analytics.identify({{ userId: 'u1', traits: {{ email: 'ada@example.com', accountId: '0015e00000ABCDEAA5' }} }})
analytics.track({{ userId: 'u1', event: 'Signed Up' }})"""


def swift_of(bare: str, key: str) -> str:
    return f"""let analytics = Analytics(configuration: Configuration(writeKey: "{key}")
    .apiHost("{bare}/v1")
    .cdnHost("{bare}/v1"))"""


def kotlin_of(bare: str, key: str) -> str:
    return f"""val analytics = Analytics("{key}", applicationContext) {{
    apiHost = "{bare}/v1"
    cdnHost = "{bare}/v1"
}}"""
