"""Dirty records to the destination: batches, calls inside the quota, an outcome per record. Names no vendor.

The way of a batch: `planner.py` chooses it, `worker.py` hands it to the destination (a file's: `uploads.py`),
`calls.py` sends within `quota.py`, `outcomes.py` writes what became of it. `jobs.py` keeps what is answered later.
"""
