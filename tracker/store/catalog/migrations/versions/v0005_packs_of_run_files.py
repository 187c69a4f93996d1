"""Sizes of packed contents: files of runs are found in packs by their digest alone."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column. Rows that are there stay without a size."""
    op.add_column("packed", sa.Column("size", sa.BigInteger()))
