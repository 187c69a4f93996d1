"""Alembic migrations of the catalog, and the names of the revisions, oldest first."""

REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0008", "0009")
REVISION = REVISIONS[-1]
