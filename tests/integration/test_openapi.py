"""The OpenAPI document is true: what it promises of each path, the running program keeps."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi import checks
from tests.support.ingest import WEBSITE, running_ingest
from tests.support.memory import directory_in_memory
from tests.support.soak import SOAK

from gainsight_destination.ingest.openapi import document
from gainsight_destination.ingest.routes import SETTINGS, WEBHOOK
from gainsight_destination.runtime.testing import RunningServe, running_serve, write_sources

schema = schemathesis.openapi.from_dict(document())
if not SOAK:  # PUT is POST by another name, and every combination of oddities takes minutes
    schema = schema.exclude(method="PUT")
    schema.config.phases.update(phases=["examples", "fuzzing"])
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServe]:
    with directory_in_memory() as directory:
        write_sources(directory / "state.db", [WEBSITE])
        with running_serve(directory, log_path=Path(tmp_path_factory.mktemp("serve")) / "log") as running:
            yield running


@pytest.mark.soak
@schema.parametrize()
@settings(max_examples=200 if SOAK else 4, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_documented(case: schemathesis.Case, serve: RunningServe) -> None:
    """Good requests and odd ones: never a 500, and every answer has a status, a type and a body of the document.

    A body as the document wants it is taken.
    """
    answer = case.call(base_url=f"http://{serve.host}:{serve.port}", auth=(WEBSITE.write_key, ""))
    taken = [checks.positive_data_acceptance] if case.method == "POST" and "webhook" not in case.path else []
    case.validate_response(answer, checks=CHECKS + taken)
    assert answer.status_code != 500


async def test_the_document_has_every_path(memory_path: Path) -> None:
    """A path that is added is documented."""
    async with running_ingest(memory_path) as ingest:
        routes = ingest.server.config.app._routes._by_path
    shown = {SETTINGS: "projects/{writeKey}/settings", WEBHOOK: "webhook/{writeKey}"}
    paths = {shown.get(path, path) for path in routes}
    assert paths == {path.removeprefix("/v1/").removeprefix("/") for path in document()["paths"]}


def test_the_document_is_served(serve: RunningServe) -> None:
    """GET /openapi.json."""
    assert httpx.get(f"http://{serve.host}:{serve.port}/openapi.json").json() == document()
