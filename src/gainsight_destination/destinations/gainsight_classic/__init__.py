"""Gainsight's classic clickstream: each message as it came, the wire of Segment's original integration."""
