"""Journals: append-only files with checksums, each with one writer. Payloads are not interpreted here."""
