"""Queries of the store. Each query returns typed, frozen records."""
