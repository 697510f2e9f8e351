"""A self-hosted Gainsight destination for the Segment Spec."""

from importlib.metadata import version

__version__ = version("gainsight-destination")
