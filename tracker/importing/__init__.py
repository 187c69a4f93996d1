"""Importers: runs that other programs have recorded become records of segments, which the store applies."""
