"""Sweeps: what is searched, which trials there are, and which comes next."""
