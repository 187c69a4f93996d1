"""Append-only, checksummed, single-writer files. This layer knows bytes, not meaning."""
