"""Lines of charts."""

import re

from gainsight_destination.console.charts import Line, chart


def test_what_is_known_once_is_seen() -> None:
    """A value with nothing known around it is drawn, at either end too, and stays inside of the box."""
    for values in ([None, 5, None], [5, None, None], [None, None, 5], [5]):
        (drawn,) = chart("Calls", "", [Line("calls", values)], "then", "now").lines
        found = re.fullmatch(r"M([\d.]+) [\d.]+ h(-?\d+)", drawn[2])
        assert found, drawn
        assert 0 <= float(found[1]) + int(found[2]) <= 600


def test_a_gap_parts_a_line() -> None:
    """Nothing is drawn where nothing is known."""
    (drawn,) = chart("Calls", "", [Line("calls", [1, 2, None, 2, 1])], "then", "now").lines
    assert [part[0] for part in drawn[2].split(" ")[::2]] == ["M", "L", "M", "L"]
