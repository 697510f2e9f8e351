"""Dirty records to the destination: batches, calls inside the quota, an outcome per record. Names no vendor.

What is still to come has its place here: a bulk lane beside `planner.py`, replay as a lane of its own.
"""
