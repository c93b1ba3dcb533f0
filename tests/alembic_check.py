"""python -m tests.alembic_check: the migrations make what the models say, on SQLite and on PostgreSQL alike."""

import io
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from tests.postgres import Postgres


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, Postgres() as server:
        server.create_database("satker")
        urls = {"SQLite": f"sqlite+aiosqlite:///{folder}/satker.db", "PostgreSQL": server.url("satker")}
        differences = {system: difference(url) for system, url in urls.items()}
    for system, text in differences.items():
        sys.stdout.write(f"alembic check on {system}: {text or 'the migrations and the models agree'}\n")
    return 1 if any(differences.values()) else 0


def difference(url: str) -> str:
    """What a new migration would have to do after all of those that there are; empty when nothing."""
    config = Config(stdout=io.StringIO())  # what it says on success, main says once for each system
    config.set_main_option("script_location", str(Path(__file__).parent.parent / "migrations"))
    config.attributes["url"] = url
    command.upgrade(config, "head")
    try:
        command.check(config)
    except CommandError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(main())
