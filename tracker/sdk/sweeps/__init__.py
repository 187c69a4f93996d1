"""``sweep`` and ``agent``."""
