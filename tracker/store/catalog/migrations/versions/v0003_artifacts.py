"""Packs of small files; tags, lifetime, deletion and links of artifact versions."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table and the columns. Nothing that was stored changes."""
    op.create_table(
        "packed",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("pack", sa.LargeBinary(), nullable=False),
        sa.Column("pack_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sha256"),
        sqlite_with_rowid=False,
    )
    op.add_column("collections", sa.Column("description", sa.String(), nullable=True))
    op.add_column("collections", sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("versions", sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("versions", sa.Column("updated_at", sa.Double(), nullable=False, server_default="0"))
    op.add_column("versions", sa.Column("expires_at", sa.Double(), nullable=True))
    op.add_column("versions", sa.Column("deleted_at", sa.Double(), nullable=True))
    op.add_column("versions", sa.Column("source", sa.String(), nullable=True))
