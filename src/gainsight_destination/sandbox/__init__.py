"""A Gainsight tenant to rehearse with: the same paths, answers, quota and faults, on a loopback port.

It stands at the end of an event's journey in the place of Gainsight. It shares no request building or parsing with
the destination, so that neither can hide the other's mistakes. See docs/sandbox.md.
"""
