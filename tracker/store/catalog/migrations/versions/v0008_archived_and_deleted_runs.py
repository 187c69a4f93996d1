"""Archived runs, and a list of deleted runs."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"


def upgrade() -> None:
    """Add the column and the table. No run is archived, and former deletions are not listed."""
    op.add_column("runs", sa.Column("archived", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_runs_archived",
        "runs",
        ["project_id"],
        sqlite_where=sa.text("archived = 1"),
        postgresql_where=sa.text("archived"),
    )
    op.create_table(
        "deleted_runs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("deleted_at", sa.Double(), nullable=False),
        sa.Column("keep_until", sa.Double()),
        sa.Column("token", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_deleted_runs_run", "deleted_runs", ["entity", "project", "run_id"])
    op.create_index("ix_deleted_runs_revision", "deleted_runs", ["revision"])
