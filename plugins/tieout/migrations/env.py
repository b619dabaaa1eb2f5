"""How Alembic reaches the database: one connection, one transaction, one migrator at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from tieout.migrations import MIGRATION_LOCK
from tieout.migrations.roles import OWNER


def run() -> None:
    """Upgrade within one transaction; the version table lives in the schema control."""
    url = context.config.attributes["url"].replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection, connection.begin():
        connection.execute(text(f"select pg_advisory_xact_lock({MIGRATION_LOCK})"))
        connection.execute(text(f"set local role {OWNER}"))
        connection.execute(text("create schema if not exists control"))
        context.configure(
            connection=connection,
            version_table_schema="control",
            transactional_ddl=True,
            transaction_per_migration=False,
        )
        context.run_migrations()
    engine.dispose()


run()
