"""The functions ``sweep`` and ``agent``."""
