"""Measurements of the product on this machine: `python -m benchmarks`."""
