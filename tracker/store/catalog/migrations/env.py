"""The script that Alembic runs: it applies the migrations on the engine from ``database.migrate``.

A migration does not import this package, because its effect must never change. Current code updates the
derived tables after the migrations, in the same transaction. ``database.migrate`` passes that code as
``refresh``: Alembic loads this file by its path, so an import would have to know the name of the package in
this process.
"""

from alembic import context
from sqlalchemy.orm import Session

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=context.config.attributes["metadata"],
        render_as_batch=True,
        transactional_ddl=True,  # one transaction for all migrations
    )
    with context.begin_transaction():
        context.run_migrations()
        with Session(connection) as session:  # closing the session leaves the transaction open
            context.config.attributes["refresh"](session)
