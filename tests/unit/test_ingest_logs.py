"""What reaches the logs, and what must not."""

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gainsight_destination.observe import metrics
from gainsight_destination.observe.logs import configure_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The logs of this process, for the time of a test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logs(part="ingest", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_time_level_and_part(stream: io.StringIO) -> None:
    """Machines can read every line."""
    structlog.get_logger("x").warning("something happened", offset=7)
    (line,) = lines(stream)
    assert (line["event"], line["offset"], line["level"], line["part"]) == (
        "something happened",
        7,
        "warning",
        "ingest",
    )
    assert str(line["timestamp"]).endswith("Z")


@pytest.mark.parametrize(
    "name", ["accessKey", "access_key", "write_key", "password", "Authorization", "secret", "email", "traits", "body"]
)
def test_secrets_and_personal_data_are_redacted(name: str, stream: io.StringIO) -> None:
    """Under whatever name, at whatever depth."""
    logger = structlog.get_logger("x")
    logger.info("at the top", **{name: "hush"})
    logger.info("inside", request={"headers": [{name: "hush"}]})
    assert "hush" not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") == 2


def test_credentials_in_text_are_redacted(stream: io.StringIO) -> None:
    """Also in a message of another library."""
    structlog.get_logger("x").info("said", reason="header was Basic aHVzaDo=")
    logging.getLogger("library").warning("sent %s", "Bearer abc.def")
    assert [line.get("reason") for line in lines(stream)] == ["header was Basic [redacted]", None]
    assert "abc.def" not in stream.getvalue()


def test_an_exception_is_part_of_its_line(stream: io.StringIO) -> None:
    """A traceback does not break the one-line form."""
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    (line,) = lines(stream)
    assert "ValueError: broken" in str(line["exception"])


def test_the_processes_share_no_metric_name() -> None:
    """The private port shows both texts one after the other, which is only right without a common name."""
    ingest, engine = ({family.name for family in registry.collect()} for registry in (metrics.INGEST, metrics.ENGINE))
    assert ingest
    assert engine
    assert not ingest & engine


def test_every_ingest_metric_is_documented() -> None:
    """docs/ingest.md lists what the process measures, by its full name."""
    page = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text("utf-8")
    listed = set(re.findall(r"^\| `(\w+)(?:\{[\w,]+\})?` \|", page, re.MULTILINE))
    names = {name.group(1) for name in re.finditer(r"^# TYPE (\w+) ", metrics.text_of(metrics.INGEST), re.MULTILINE)}
    measured = {name for name in names if not name.startswith("ingest_process_")}
    assert measured == {name for name in listed if not name.startswith("ingest_process_")}
