"""The overview ladder, searchable fields of runs, people's edits, and what stops a segment."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the tables and columns. Nothing that was stored changes; ``env.py`` fills ``run_fields``."""
    op.create_table(
        "rungs",
        sa.Column("part_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("bucket_rows", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["part_id"], ["parts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("part_id", "key", "bucket_rows"),
    )
    op.create_table(
        "run_fields",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Double(), nullable=True),
        sa.Column("text", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"]),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
        sa.PrimaryKeyConstraint("run_id", "field"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_fields_number", "run_fields", ["project_id", "field", "number", "run_id"])
    op.create_index(
        "ix_run_fields_text",
        "run_fields",
        ["project_id", "field", "text", "run_id"],
        sqlite_where=sa.text("text IS NOT NULL"),
        postgresql_where=sa.text("text IS NOT NULL"),
    )
    op.create_index("ix_runs_project_updated", "runs", ["project_id", "updated_at"])
    op.add_column("runs", sa.Column("edits", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("segments", sa.Column("hot_count", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("segments", sa.Column("adopted", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("segments", sa.Column("fault", sa.String(), nullable=True))
    op.execute(
        "UPDATE segments SET hot_count = "
        "(SELECT count(*) FROM hot_rows WHERE hot_rows.segment_id = segments.id)"
    )
