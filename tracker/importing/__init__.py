"""Importers: runs that other programs have recorded become records of segments, and the store applies them."""
