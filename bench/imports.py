"""make bench-import: what import-satkers costs, and what a kill in the middle leaves, on both databases.

Every file is imported twice by the command itself, as a process of its own, into a new database: seconds, peak memory
and the counts of its report. FILES are a real one (8,551 lines of the shape that LKPP publishes are the measure) and,
first, one that is made here: a million lines. That one is also imported by a process that is killed (SIGKILL) when half
of it is written, and then once more. Prints Markdown.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

from app.db import Database
from app.startup import migrate_database
from sqlalchemy import text
from tests.postgres import Postgres

LINES = 1_000_000
HEAD = "kd_satker,kd_satker_str,nama_satker,kd_klpd,nama_klpd,jenis_klpd,status_satker,tahun_aktif\n"
SYSTEMS = ("SQLite", "PostgreSQL")
# Linux counts the memory of whoever starts a process into that process's peak: so one that has little starts it.
LAUNCH = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def write_lines(path: Path, lines: int) -> Path:
    """Master data of 630 K/L/P/D. Of 100 lines one is a second spelling, one is not active, one has no code at all."""
    with path.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        for n in range(lines):
            satker = n - 1 if n % 100 == 99 else n
            codes = f"{satker},{satker * 7919 % 1_000_000:06}" if n % 100 != 1 else ","
            status = "Tidak Aktif" if n % 100 == 50 else "Aktif"
            name = f"KANTOR PELAYANAN NOMOR {n} KABUPATEN {n * 104729 % 3000}"
            klpd = n // 100 % 630
            file.write(f'{codes},{name},K{klpd},KEMENTERIAN {klpd},KEMENTERIAN,{status},"2024, 2025"\n')
    return path


def new_database(system: str, server: Postgres, folder: Path) -> str:
    name = f"import_{token_hex(4)}"
    if system == "SQLite":
        url = f"sqlite+aiosqlite:///{folder}/{name}.db"
    else:
        server.create_database(name)
        url = server.url(name)
    migrate_database(url)
    return url


def command(path: Path) -> list[str]:
    return [sys.executable, "-m", "app", "import-satkers", str(path)]


def run(url: str, path: Path) -> tuple[str, float, float]:
    """The counts of the report, the seconds it took, and the peak of the process's memory in megabytes."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", LAUNCH, *command(path)],
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - begun
    *report, peak = done.stdout.splitlines()
    return next(line for line in report if line.startswith("read ")), seconds, int(peak) / 1024


def twice(system: str, url: str, path: Path, lines: int) -> Iterator[str]:
    for which in ("first", "again"):
        counts, seconds, peak = run(url, path)
        yield f"| {lines:,} | {system} | {which} | {seconds:.1f} | {peak:.0f} | {counts} |"


async def written(database: Database) -> int:
    async with database.reading() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM catalog_satker")) or 0)


async def killed(system: str, url: str, path: Path, lines: int) -> list[str]:
    database = Database(url)
    process = subprocess.Popen(  # noqa: ASYNC220 - returns at once
        command(path),
        env=os.environ | {"DATABASE_URL": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while await written(database) < lines // 2:
        if process.poll() is not None:
            raise SystemExit(f"the import ended before it was killed: {process.returncode}")
        await asyncio.sleep(0.2)
    process.kill()
    process.wait()
    there = await written(database)
    counts, seconds, peak = run(url, path)
    after = await written(database)
    await database.dispose()
    return [
        f"| {lines:,} | {system} | killed | | | {there:,} satkers in the catalog |",
        f"| {lines:,} | {system} | rerun | {seconds:.1f} | {peak:.0f} | {counts}; {after:,} in the catalog |",
    ]


def tell(*rows: str) -> None:
    for row in rows:
        sys.stdout.write(row + "\n")
    sys.stdout.flush()


def main(files: list[Path], lines: int) -> None:
    with tempfile.TemporaryDirectory() as directory, Postgres() as server:
        folder = Path(directory)
        made = write_lines(folder / "made.csv", lines)
        tell("| lines | on | run | seconds | peak MB | report |", "|---|---|---|---|---|---|")
        for path in [*files, made]:
            count = sum(1 for _ in path.open("rb")) - 1
            for system in SYSTEMS:
                for row in twice(system, new_database(system, server, folder), path, count):
                    tell(row)
        for system in SYSTEMS:
            url = new_database(system, server, folder)
            tell(*asyncio.run(killed(system, url, made, lines)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE")
    parser.add_argument("--lines", type=int, default=LINES)
    arguments = parser.parse_args()
    main(arguments.files, arguments.lines)
