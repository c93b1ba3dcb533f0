"""Runs the migrations on the database of DATABASE_URL, one runner at a time."""

import asyncio
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from app.db import Database
from app.models import Attempt
from app.settings import DatabaseSettings, load
from app.tables import Base, Utc
from sqlalchemy import Connection, text

assert Attempt.metadata is Base.metadata  # noqa: S101 - importing the models is what fills the metadata


def render_item(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Migrations stand by themselves: our own types are written as what they are in the database."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Utc) else False


def include_object(_item: Any, name: str | None, kind: str, reflected: bool, _other: Any) -> bool:
    """The search has other indexes on each database; the migrations alone know them."""
    return not (kind == "index" and reflected and (name or "").startswith("search_"))


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render_item,
        include_object=include_object,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":  # replicas that start together wait for each other
            connection.execute(text("SELECT pg_advisory_xact_lock(7238461)"))
        context.run_migrations()


async def run() -> None:
    url = context.config.attributes.get("url") or load(DatabaseSettings).database_url
    database = Database(url)
    try:
        async with database.begin() as tx:
            await tx.run_sync(migrate)
    finally:
        await database.dispose()


asyncio.run(run())
