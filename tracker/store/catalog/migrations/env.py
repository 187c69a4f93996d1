"""What Alembic runs: the migrations, on the engine that ``database.migrate`` hands over.

A migration imports nothing of this package: what it does must stay as it was. What is derived from the
rest is made by today's code, after them and in their transaction. That code is handed over too: Alembic
loads this file by its place, so an import would not know which name the package has in this process.
"""

from alembic import context
from sqlalchemy.orm import Session

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=context.config.attributes["metadata"],
        render_as_batch=True,
        transactional_ddl=True,  # one transaction for all
    )
    with context.begin_transaction():
        context.run_migrations()
        with Session(connection) as session:  # whose end leaves the transaction open
            context.config.attributes["refresh"](session)
