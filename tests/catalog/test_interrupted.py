"""Imports as processes of their own: killed in the middle, interrupted, on a database that refuses."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from app.catalog.importer import BATCH
from app.db import Database
from app.invariants import violations
from app.models import Access, Attempt, ImportedLine
from sqlalchemy import ColumnClause, func, select

from tests.catalog.files import reduced, satkers, write
from tests.conftest import fill_catalog

pytestmark = pytest.mark.anyio
LINES = 6 * BATCH
MAPPINGS = "pp_id,email,klpd_code,satker_code,kd_satker,company_id,company_name,account_id,preferred"


def importing(url: str, path: Path, *options: str, what: str = "satkers") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "app", f"import-{what}", str(path), *options],
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hears_interrupts,
    )


def hears_interrupts() -> None:
    """Whoever runs the tests in the background hands down a SIGINT that is ignored; an operator's shell does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return write(tmp_path / "many.csv", [reduced(f"{n:06}", f"SATKER NOMOR {n}") for n in range(LINES)])


async def count(database: Database) -> int:
    return len(await satkers(database))


async def count_of(database: Database, column: ColumnClause[str]) -> int:
    async with database.reading() as db:
        return await db.scalar(select(func.count(column))) or 0


async def until_some(database: Database, process: subprocess.Popen[str]) -> None:
    """Waits for the first batches; fails when the process ends first."""
    while await count(database) == 0:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)  # noqa: ASYNC251 - nothing else is to be done meanwhile


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_an_import_that_ends_in_the_middle_is_completed_by_the_next(
    database: Database, database_url: str, many: Path, how: signal.Signals
) -> None:
    """Whole batches are there, and the rerun adds just the rest."""
    process = importing(database_url, many)
    await until_some(database, process)
    process.send_signal(how)
    process.communicate(timeout=30)
    there = await count(database)
    assert (0, True) == (there % BATCH, 0 < there < LINES)

    again = importing(database_url, many)
    out, _ = again.communicate(timeout=60)

    assert 0 == again.returncode
    assert f"inserted {LINES - there}, updated 0, unchanged {there}," in out
    assert LINES == await count(database)


async def test_an_import_of_mappings_that_is_killed_is_completed_by_the_next(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Whole lines are there, the rerun's counts add up, and the conflict is listed by either that came to it."""
    await fill_catalog(database)
    companies = [f"K1,00000{n},,C-{n},PT {n},," for n in range(1, 5)]
    lines = [f"pp-{pp},,{company}" for pp in range(100) for company in companies]
    conflict = "pp-last,,K1,000001,,C-9,PT 9,,"
    path = tmp_path / "mappings.csv"
    path.write_text("\n".join([MAPPINGS, *lines, conflict]) + "\n")
    process = importing(database_url, path, what="mappings")
    while (there := await count_of(database, ImportedLine.digest)) == 0:
        assert process.poll() is None, process.communicate()
    process.kill()
    process.communicate(timeout=30)
    there = await count_of(database, ImportedLine.digest)
    assert 0 < there < len(lines)

    again = importing(database_url, path, what="mappings")
    out, _ = again.communicate(timeout=60)

    assert 0 == again.returncode
    told = {what: int(count) for what, count in re.findall(r"(?:, |^)([a-z ]+?) (\d+)", out.splitlines()[0])}
    assert told["read"] == len(lines) + 1 == sum(told.values()) - told["read"]
    assert (there, 1) == (told["applied before"], told["satker conflict"])
    assert "C-9" in out
    assert (4, len(lines)) == (
        await count_of(database, Attempt.id),
        await count_of(database, Access.satker_id),
    )
    assert [] == await violations(database)


async def test_importing_prints_the_report_and_no_bar_into_a_pipe(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """Nothing but plain text."""
    process = importing(database_url, write(tmp_path / "few.csv", [reduced("1", "A"), reduced("", "B")]))
    out, err = process.communicate(timeout=30)

    assert (0, "") == (process.returncode, err)
    assert "read 2, inserted 1, updated 0, unchanged 0, merged 0, rejected 1" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("content", "reason"), [("<html>", "a web page"), (json.dumps({"message": "no"}), "no array `data`")]
)
def test_importing_a_bad_file_ends_with_one_line(
    sqlite_url: str, tmp_path: Path, content: str, reason: str
) -> None:
    """And an exit status that tells."""
    path = tmp_path / "bad.json"
    path.write_text(content)

    process = importing(sqlite_url, path)
    out, err = process.communicate(timeout=30)

    assert process.returncode not in (0, None)
    assert "" == out
    assert re.fullmatch(rf"[^\n]*{reason}[^\n]*\n", err)


def test_importing_lines_that_are_all_rejected_is_no_success(sqlite_url: str, tmp_path: Path) -> None:
    """The report names them, and the exit status tells that nothing was done."""
    process = importing(sqlite_url, write(tmp_path / "few.csv", [reduced("", "A"), reduced("", "B")]))
    out, err = process.communicate(timeout=30)

    assert 1 == process.returncode
    assert "rejected 2, the code is blank: lines 2, 3" in out
    assert "nothing was imported: every line was rejected\n" == err


def test_importing_into_a_database_without_tables_tells_how_to_make_them(tmp_path: Path) -> None:
    """It is the first thing that somebody new meets."""
    url = f"sqlite+aiosqlite:///{tmp_path}/new.db"

    process = importing(url, write(tmp_path / "few.csv", [reduced("1", "A")]))
    out, err = process.communicate(timeout=30)

    assert (1, "") == (process.returncode, out)
    assert "database: its schema is not this version's; run `python -m app migrate`\n" == err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_rejects_that_find_no_room_end_with_one_line(sqlite_url: str, tmp_path: Path) -> None:
    """It names the file."""
    lines = [reduced("1", "A"), *(reduced("", "B") for _ in range(1000))]

    process = importing(sqlite_url, write(tmp_path / "few.csv", lines), "--rejects", "/dev/full")
    out, err = process.communicate(timeout=30)

    assert (1, "", "/dev/full: No space left on device\n") == (process.returncode, out, err)


def test_importing_into_a_database_that_cannot_be_written_ends_with_one_line(
    sqlite_url: str, tmp_path: Path
) -> None:
    """Here another process keeps it locked; a read-only file fails alike."""
    path = write(tmp_path / "few.csv", [reduced("1", "A")])
    other = sqlite3.connect(sqlite_url.partition("///")[2], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    process = importing(sqlite_url, path)
    _, err = process.communicate(timeout=30)
    other.close()

    assert process.returncode not in (0, None)
    assert re.fullmatch(r"[^\n]+\n", err)
