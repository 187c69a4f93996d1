"""What Alembic runs: the migrations, on the engine that ``database.migrate`` hands over.

A migration imports nothing of this package: what it does must stay as it was. What is derived from the
rest is made by today's code, after them and in their transaction.
"""

from alembic import context
from sqlalchemy.orm import Session

from tracker.store.catalog.fields import refresh_all_fields
from tracker.store.catalog.models import Base

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        transactional_ddl=True,  # one transaction for all
    )
    with context.begin_transaction():
        context.run_migrations()
        with Session(connection) as session:  # whose end leaves the transaction open
            refresh_all_fields(session)
