"""A backup taken while people work, restored elsewhere: the promises are kept there, and what was there is there."""

import asyncio
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from app.db import Database
from app.models import Attempt, Base
from sqlalchemy import func, select

from tests.postgres import Postgres
from tests.service import Service, registration
from tests.test_check import busy, command

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
DOCUMENTED = (ROOT / "docs/deploying.md").read_text()


@asynccontextmanager
async def people_at_work(service: Service) -> AsyncIterator[None]:
    """Registrations one after the other, on the satkers that `busy` left alone."""

    async def register() -> None:
        for number, catalog_id in enumerate(service.catalog[4:]):
            satker = await service.add(catalog_id)
            body = registration(f"saat-{number}@satker.example")
            await service.http.post(f"/v1/satkers/{satker}/mapping/register", json=body)

    working = asyncio.create_task(register())
    yield
    await working


async def counts(url: str) -> dict[str, int]:
    database = Database(url)
    async with database.reading() as db:
        found = {
            table.name: await db.scalar(select(func.count()).select_from(table)) or 0
            for table in Base.metadata.sorted_tables
        }
        found["mapped"] = await db.scalar(select(func.count()).where(Attempt.state == "mapped")) or 0
    await database.dispose()
    return found


async def run(*command: str, folder: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr


async def test_restoring_sqlite(sqlite_service: Service, tmp_path: Path) -> None:
    """The documented line copies the file of a running service."""
    await busy(sqlite_service)
    before = await counts(f"sqlite+aiosqlite:///{tmp_path}/satker.db")
    (line,) = re.findall(r"^ +(python -c .*VACUUM INTO.*)$", DOCUMENTED, re.MULTILINE)
    async with people_at_work(sqlite_service):
        await asyncio.sleep(0.05)
        _, *arguments = shlex.split(line)
        await run(sys.executable, *arguments, folder=tmp_path)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    (tmp_path / "backup.db").rename(elsewhere / "satker.db")
    restored = f"sqlite+aiosqlite:///{elsewhere}/satker.db"
    assert (0, "every promise is kept\n", "") == command(restored)
    after = await counts(restored)
    assert all(after[name] >= count for name, count in before.items())
    assert before["mapped"] >= 2


async def test_restoring_postgresql(
    service: Service, database_url: str, postgres: Postgres, tmp_path: Path
) -> None:
    """The documented pg_dump and pg_restore, into another server."""
    if service.database.is_sqlite:
        pytest.skip("there is no server")
    await busy(service)
    before = await counts(database_url)
    database = database_url.partition("@/")[2].partition("?")[0]
    dump, restore = (
        shlex.split(re.findall(rf"^ +{program} (.*)$", DOCUMENTED, re.MULTILINE)[0])
        for program in ("pg_dump", "pg_restore")
    )
    with Postgres() as elsewhere:
        elsewhere.create_database("satker")
        file = f"{elsewhere.folder}/satker.dump"  # where the user that PostgreSQL's programs run as may write
        place = {"satker.dump": file, "--file=satker.dump": f"--file={file}"}
        async with people_at_work(service):
            await asyncio.sleep(0.05)
            told = [place.get(word, word) for word in dump if not word.startswith("--dbname=")]
            await asyncio.to_thread(postgres.run, "pg_dump", *told, *connection(postgres, database))
        told = [place.get(word, word) for word in restore if not word.startswith("--dbname=")]
        await asyncio.to_thread(elsewhere.run, "pg_restore", *told, *connection(elsewhere, "satker"))
        restored = elsewhere.url("satker")
        assert (0, "every promise is kept\n", "") == command(restored)
        after = await counts(restored)
    assert all(after[name] >= count for name, count in before.items())
    assert before["mapped"] >= 2


def connection(server: Postgres, database: str) -> tuple[str, ...]:
    return (f"--host={server.folder}", f"--port={server.port}", "--username=postgres", f"--dbname={database}")
