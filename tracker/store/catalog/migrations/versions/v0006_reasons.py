"""Why a run ended, and when its writer was last heard of."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns. Runs that are there stay without a reason."""
    op.add_column("runs", sa.Column("reason", sa.String()))
    op.add_column("runs", sa.Column("last_seen", sa.Double()))
