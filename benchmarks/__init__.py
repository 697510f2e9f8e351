"""Measurements of the product on this machine: `make bench`. What each one tells: docs/performance.md."""
