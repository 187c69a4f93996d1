"""Artifacts: sets of files with versions and aliases."""
