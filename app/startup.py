"""Before serving: a database that may not be there yet, and its schema."""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from app.db import Database, DatabaseUnavailable

PATIENCE = 60.0  # seconds that a start waits for its database: what starts both at once takes less
PAUSE = 2.0


# How SQLite and PostgreSQL say that a table or a column is not there.
_NO_SUCH = re.compile("no such (table|column)|(relation|column) .* does not exist")


def reason(error: DatabaseUnavailable | ProgrammingError) -> str:
    """What the database, or the way to it, had to say."""
    cause = error.__cause__ if isinstance(error, DatabaseUnavailable) else error
    said = str(getattr(cause, "orig", None) or cause or error)
    if _NO_SUCH.search(said):
        return "its schema is not this version's; run `python -m app migrate`"
    return said or type(cause or error).__name__  # a timeout says nothing


def await_database(url: str, say: Callable[[str], None], patience: float = PATIENCE) -> None:
    """Returns when the database answers. Raises DatabaseUnavailable when it has not for so many seconds.

    SQLite is no server that could be about to start: what it says is said at once.
    """
    if not url.startswith("sqlite"):
        asyncio.run(_await(url, say, patience))


async def _await(url: str, say: Callable[[str], None], patience: float) -> None:
    database = Database(url, pool_size=1)
    give_up = time.monotonic() + patience
    try:
        while True:
            try:
                async with database.reading() as db:
                    await db.execute(text("SELECT 1"))
                return
            except DatabaseUnavailable as error:
                left = give_up - time.monotonic()
                if left <= 0:
                    raise
                say(f"database: {reason(error)}; waiting for it, {left:.0f} s more")
            await asyncio.sleep(min(PAUSE, max(0.0, give_up - time.monotonic())))
    finally:
        await database.dispose()


class MigrationFailed(Exception):
    """What a migration ended in; as it is one transaction, the database is as it was."""


def migrate_database(url: str, folder: Path = Path(__file__).parent.parent / "migrations") -> None:
    """All of it or nothing. Raises MigrationFailed and DatabaseUnavailable."""
    from alembic import command  # costs 120 ms: here alone
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(folder))
    config.attributes["url"] = url
    try:
        command.upgrade(config, "head")
    except DBAPIError as error:
        raise MigrationFailed(str(error.orig)) from error
    except CommandError as error:  # a schema of a later version
        raise MigrationFailed(str(error)) from error
