"""Garbage collection: deletes unreferenced files, and versions that expired or that no rule keeps."""
