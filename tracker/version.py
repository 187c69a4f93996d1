"""The version, in the one place that may import nothing."""

__version__ = "0.1.0"
