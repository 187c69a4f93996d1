"""Readers of runs and artifacts: from a store's catalog, from a store's files alone, or from a server."""
