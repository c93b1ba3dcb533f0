"""Starting beside what is not there yet or cannot be: a database, a schema that fails half way, room on the disk."""

import asyncio
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from app import invariants
from app.db import SCHEMA, Database, DatabaseUnavailable
from app.mapping import settling
from app.models import CatalogSatker
from app.startup import MigrationFailed, await_database, migrate_database
from sqlalchemy import event, insert, inspect, text

from tests.admin.desk import log_in
from tests.conftest import copied, fill_catalog
from tests.invariants import violations
from tests.postgres import Postgres
from tests.service import Service, registration, running
from tests.test_logs import await_answer, environment, free_port

ROOT = Path(__file__).parent.parent


def start(*command: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app", *command],
        env=environment("sqlite+aiosqlite:///unused.db") | settings,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


# A database that is not there yet


def test_waiting_in_vain() -> None:
    """Each try is a line with the reason and the time that is left; then it is given up."""
    said: list[str] = []
    url = f"postgresql+asyncpg://satker:kanari@127.0.0.1:{free_port()}/satker"
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        await_database(url, said.append, patience=3)
    assert 3 <= time.monotonic() - began < 20
    assert len(said) >= 2
    for line in said:
        assert re.fullmatch(r"database: .*(refused|Connect call failed).*; waiting for it, \d s more", line)
    assert "kanari" not in str(said)


def test_waiting_for_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """SQLite is not waited for; what is wrong is one line when the first command needs it."""
    ended = start("migrate", DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}/none/satker.db")
    _, err = ended.communicate(timeout=60)
    assert (1, "database: unable to open database file\n") == (ended.returncode, err)


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_starting_before_the_database(command: str) -> None:
    """It waits, says so, and goes on when the database is there."""
    with Postgres(tcp=True) as server:
        server.create_database("late")
        if command == "serve":
            migrate_database(server.tcp_url("late"))
        server.stop()
        port = free_port()
        extra = ["--port", str(port)] if command == "serve" else []
        process = start(command, *extra, DATABASE_URL=server.tcp_url("late"))
        try:
            assert process.stderr is not None
            assert re.search("^database: .*; waiting for it, 60 s more$", process.stderr.readline().strip())
            server.start()
            if command == "migrate":
                assert 0 == process.wait(60)
            else:
                await_answer(f"http://127.0.0.1:{port}/readyz", process)  # type: ignore[arg-type]
        finally:
            process.kill()
            process.communicate()


# A migration that fails half way

FAILS = """
import pathlib, time
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "9999", "SCHEMA", None, None


def upgrade():
    op.create_table("half_way", sa.Column("id", sa.String(), primary_key=True))
    op.execute("INSERT INTO half_way VALUES ('x')")
    op.add_column("pp_satker", sa.Column("half_way", sa.String()))
    op.execute("UPDATE klpd SET name = 'half way'")
    op.drop_index("ix_pp_satker_catalog_id")
    pathlib.Path(__file__).with_suffix(".reached").touch()
    BREAK
"""


@pytest.fixture
def filled_url(database_url: str) -> str:
    async def fill() -> None:
        database = Database(database_url)
        await fill_catalog(database)
        await database.dispose()

    asyncio.run(fill())
    return database_url


def with_one_more(folder: Path, breaks: str) -> tuple[Path, Path]:
    """The migrations and another one; the file tells that it is half way."""
    copy = folder / "migrations"
    shutil.copytree(ROOT / "migrations", copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "versions" / "9999_fails.py").write_text(FAILS.replace("BREAK", breaks).replace("SCHEMA", SCHEMA))
    return copy, copy / "versions" / "9999_fails.reached"


async def schema(url: str) -> tuple[object, ...]:
    database = Database(url)
    async with database.reading() as db:
        version = await db.scalar(text("SELECT version_num FROM alembic_version"))
        names = await db.run_sync(lambda sync: sorted(inspect(sync).get_table_names()))
        columns = await db.run_sync(
            lambda sync: [column["name"] for column in inspect(sync).get_columns("pp_satker")]
        )
        indexes = await db.run_sync(
            lambda sync: sorted(str(index["name"]) for index in inspect(sync).get_indexes("pp_satker"))
        )
        changed = await db.scalar(text("SELECT count(*) FROM klpd WHERE name = 'half way'"))
    await database.dispose()
    return version, names, columns, indexes, changed


async def still_serves(url: str, folder: Path) -> None:
    async with running(url, folder) as service:
        assert 200 == (await service.http.get("/readyz")).status_code
        await service.make_account("budi@lain.example", "PT Budi")
        await log_in(service, await service.add(f"{0:032x}"))
        assert [] == await violations(service.database, await service.truth())


@pytest.mark.parametrize("breaks", ['op.execute("SELECT no_such_column FROM klpd")', 'raise KeyError("x")'])
def test_migrating_with_a_migration_that_fails(filled_url: str, tmp_path: Path, breaks: str) -> None:
    """Nothing of it is there, and this version goes on serving."""
    before = asyncio.run(schema(filled_url))
    folder, half_way = with_one_more(tmp_path, breaks)
    with pytest.raises((MigrationFailed, DatabaseUnavailable, KeyError)):
        migrate_database(filled_url, folder)

    assert (True, before) == (half_way.exists(), asyncio.run(schema(filled_url)))
    assert SCHEMA == before[0]
    asyncio.run(still_serves(filled_url, tmp_path))


def test_killing_a_migration(filled_url: str, tmp_path: Path) -> None:
    """As one that fails; the next try finds the way free."""
    before = asyncio.run(schema(filled_url))
    folder, half_way = with_one_more(tmp_path, "time.sleep(600)")
    run = "import sys, pathlib, app.startup as s; s.migrate_database(sys.argv[1], pathlib.Path(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", run, filled_url, str(folder)], cwd=ROOT)
    try:
        wait_until(half_way.exists)
    finally:
        process.kill()
        process.wait()

    assert before == asyncio.run(schema(filled_url))
    migrate_database(filled_url)
    asyncio.run(still_serves(filled_url, tmp_path))


def wait_until(true: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


# A full disk


@dataclass
class Disk:
    """A file system of a megabyte and a half, with nothing else on it than the database."""

    folder: Path

    def fill(self) -> None:
        with (self.folder / "ballast").open("ab", buffering=0) as ballast:
            for size in (65536, 4096, 512):
                try:
                    while True:
                        ballast.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small file system takes root, and mount")
    yield Disk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def add_until_refused(service: Service) -> list[str]:
    """Which satkers were added before the first that was not; that one is 503 and can be tried again."""
    added = []
    for catalog_id in service.catalog:
        answer = await service.http.post("/v1/satkers", json={"catalog_id": catalog_id})
        if answer.status_code != 201:
            assert (503, "database_unavailable") == (answer.status_code, answer.json()["code"])
            assert int(answer.headers["Retry-After"]) >= 1
            return added
        added.append(str(answer.json()["id"]))
    raise AssertionError("there was room for all of them")


async def on_list(service: Service) -> set[str]:
    answer = await service.http.get("/v1/satkers", params={"size": 100})
    assert answer.status_code == 200, answer.text
    return {item["id"] for item in answer.json()["items"]}


@pytest.mark.anyio
async def test_adding_on_a_full_disk(sqlite_template: Path, tmp_path: Path, disk: Disk) -> None:
    """503, and whatever was said to be added is there, before and after there is room again."""
    async with running(copied(sqlite_template, disk.folder), tmp_path) as service:
        service.catalog = await fill_catalog(service.database)
        first = await service.add(service.catalog.pop(0))
        disk.fill()
        added = [first, *await add_until_refused(service)]
        assert set(added) == await on_list(service)
        assert 200 == (await service.http.get("/readyz")).status_code

        disk.free()
        added.append(await service.add(service.catalog[-1]))
        assert set(added) == await on_list(service)
        assert [] == await invariants.violations(service.database)


@pytest.mark.anyio
async def test_registering_while_the_disk_gets_full(
    sqlite_template: Path, tmp_path: Path, disk: Disk
) -> None:
    """The intent is on it; the account that mbizmarket makes then is found by settling, and mapped: one, not two."""
    async with running(copied(sqlite_template, disk.folder), tmp_path) as service:
        service.catalog = await fill_catalog(service.database)
        satker_id = await service.add(service.catalog[0])
        await service.fault("register", "sleep_after", seconds=1)
        path = f"/v1/satkers/{satker_id}/mapping"
        answering = asyncio.create_task(service.http.post(f"{path}/register", json=registration()))
        while not (await service.truth())["registrations"]:
            assert not answering.done(), (await answering).text
            await asyncio.sleep(0.01)
        disk.fill()
        answer = await answering
        assert (503, "database_unavailable") == (answer.status_code, answer.json()["code"])
        assert "checking" == (await service.http.get(path)).json()["status"]

        disk.free()
        async with service.database.begin() as tx:
            await tx.execute(text("UPDATE attempt SET lease_until = created_at"))
        await settling.settle(service.context, whatever_the_backoff=True)
        assert "mapped" == (await service.http.get(path)).json()["status"]
        truth = await service.truth()
        assert 1 == len(truth["registrations"])
        assert [] == await violations(service.database, truth)


@pytest.mark.anyio
async def test_adding_to_a_full_file(sqlite_service: Service) -> None:
    """As on a full disk, where no disk can be filled: SQLite has the same word for both."""
    full = False

    def limit(connection: object) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar() if full else 2**30  # type: ignore[attr-defined]
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")  # type: ignore[attr-defined]

    event.listen(sqlite_service.database.engine.sync_engine, "begin", limit)
    async with sqlite_service.database.begin() as tx:
        for number in range(100):
            row = {"id": f"{100 + number:032x}", "klpd_code": "K1", "code": f"x{number}", "name": "N"}
            await tx.execute(insert(CatalogSatker).values(**row, active=True, search="n"))
            sqlite_service.catalog.append(row["id"])
    first = await sqlite_service.add(sqlite_service.catalog.pop(0))
    full = True
    added = [first, *await add_until_refused(sqlite_service)]
    full = False
    added.append(await sqlite_service.add(sqlite_service.catalog[-1]))
    assert set(added) == await on_list(sqlite_service)
    assert [] == await invariants.violations(sqlite_service.database)
