"""Users, roles, keys with an owner and limits, browser sessions, the audit log, and uploads."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the tables. Existing keys have no user: they keep all rights."""
    op.add_column(
        "clock", sa.Column("people_revision", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("is_service", sa.Boolean(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("password", sa.String()),
        sa.Column("issuer", sa.String()),
        sa.Column("subject", sa.String()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("disabled_at", sa.Double()),
        sa.UniqueConstraint("issuer", "subject"),
    )
    op.create_table(
        "memberships",
        sa.Column("entity", sa.String(), primary_key=True),
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("role", sa.String(), nullable=False),
    )
    op.create_table(
        "private_projects",
        sa.Column("entity", sa.String(), primary_key=True),
        sa.Column("project", sa.String(), primary_key=True),
    )
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id", name="fk_user")))
        keys.add_column(sa.Column("name", sa.String(), nullable=False, server_default=""))
        keys.add_column(sa.Column("scope", sa.String(), nullable=False, server_default="write"))
        for name, kind in (
            ("entity", sa.String()),
            ("project", sa.String()),
            ("expires_at", sa.Double()),
            ("last_used_at", sa.Double()),
        ):
            keys.add_column(sa.Column(name, kind))
    op.create_table(
        "browser_sessions",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("sha256", sa.String(), nullable=False, unique=True),
        sa.Column("user_id", sa.Integer(), sa.ForeignKey("users.id")),
        sa.Column("key_id", sa.Integer(), sa.ForeignKey("api_keys.id")),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("last_used_at", sa.Double(), nullable=False),
        sa.Column("how", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
    )
    op.create_index("ix_audit_log_target", "audit_log", ["target"])
    op.create_table(
        "uploads",
        sa.Column("holder", sa.BigInteger(), primary_key=True),
        sa.Column("sha256", sa.LargeBinary(), primary_key=True),
        sa.Column("time", sa.Double(), nullable=False),
        sqlite_with_rowid=False,
    )
