"""The benchmarks run, in their smallest size, so that they do not rot. Figures of such runs say nothing."""

from importlib import import_module
from pathlib import Path

import pytest
from benchmarks.__main__ import BENCHMARKS
from benchmarks.options import Options

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["resolve", "growth", "b2b_day"])
def test_a_benchmark_runs(name: str) -> None:
    """Every cell of its tables is filled, and its plots are drawn."""
    result = import_module(f"benchmarks.{name}").run(Options("tiny"))
    assert result.tables
    assert all(len(row) == len(table.columns) for table in result.tables for row in table.rows)
    assert all(svg.startswith("<svg") for svg in result.plots.values())


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_says_what_it_measures(name: str) -> None:
    """Its docstring heads its section of RESULTS.md; docs/performance.md names the command."""
    assert len(import_module(f"benchmarks.{name}").__doc__ or "") > 300
    assert f"`{name}`" in (ROOT / "docs" / "performance.md").read_text("utf-8")
