"""make bench-search: how long catalog searches take with 7,000, 50,000 and 1,000,000 satkers, on both databases.

Every size has 630 K/L/P/D, one of them with 10,000 satkers (5,000 of the 7,000). The sizes take turns, query by query,
so that what else the machine does troubles them alike. Prints a table in Markdown; with --explain the plans instead.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from statistics import quantiles
from typing import Any

from app.catalog import store
from app.catalog.text import CODES, search_text
from app.db import Database
from app.models import Klpd
from app.startup import migrate_database
from sqlalchemy import event, insert, text
from tests.postgres import Postgres

KLPDS = 630
KINDS = (
    "KANTOR DINAS BALAI PUSAT BADAN UNIT LEMBAGA POLRES STASIUN RUMAH SEKOLAH MADRASAH PENGADILAN DIREKTORAT "
    "INSPEKTORAT SEKRETARIAT BIDANG SATUAN KECAMATAN KELURAHAN"
)
SUBJECTS = (
    "KESEHATAN PENDIDIKAN AGAMA PERTANIAN PERIKANAN PERHUBUNGAN KEUANGAN KEHUTANAN PELATIHAN PENELITIAN "
    "METEOROLOGI PERTANAHAN PEMASYARAKATAN IMIGRASI STATISTIK NEGERI UMUM TINGGI BESAR WILAYAH"
)
PLACES = 3000

# Plain arithmetic instead of chance: both databases get the very same rows.
FILL = """
INSERT INTO catalog_satker (id, klpd_code, code, kd_satker, name, active, search)
WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :size),
named AS (
    SELECT n.i, a.word || ' ' || b.word || ' ' || c.word || ' ' || d.word AS name
    FROM n
    JOIN bench_word a ON a.list = 0 AND a.i = n.i * 7919 % 20
    JOIN bench_word b ON b.list = 1 AND b.i = n.i / 20 % 20
    JOIN bench_word c ON c.list = 2 AND c.i = n.i * 104729 % 3000
    JOIN bench_word d ON d.list = 2 AND d.i = n.i / 7 * 1299709 % 3000
)
SELECT CAST(i * 2654435761 % 4294967291 AS VARCHAR), CASE WHEN i <= :big THEN 'K0' ELSE 'K' || (1 + i % 629) END,
    substr(CAST(1000000 + i * 37 % 1000000 AS VARCHAR), 2), CAST(100000 + i AS VARCHAR), name, true,
    ' ' || lower(name) || :codes || substr(CAST(1000000 + i * 37 % 1000000 AS VARCHAR), 2) || ' ' || (100000 + i) || ' '
FROM named
"""


def places() -> list[str]:
    chance = random.Random(1)  # noqa: S311 - place names, not secrets
    syllables = [consonant + vowel for consonant in "BCDGHJKLMNPRSTW" for vowel in "AEIOU"]
    return [f"{''.join(chance.choices(syllables, k=chance.randint(2, 4)))}NG" for _ in range(PLACES)]


def queries() -> dict[str, list[str]]:
    """What is typed, by kind. Several of each, so that no answer is just remembered."""
    some = places()[::211]
    return {
        "nothing typed": [""],
        "a word of many": [word.lower() for word in KINDS.split()[:10]],
        "a word of few": some,
        "the start of a word": [place[:4] for place in some],
        "a part of a word": [place[1:5] for place in some],
        "two words, turned round": [
            f"{place} {kind}" for place, kind in zip(some, KINDS.split(), strict=False)
        ],
        "one letter": list("aeiknrstu"),
        "two letters of none": ["xq", "qz", "vx"],
        "five letters of none": ["zzqxv", "qqqqq", "xvxvx"],
        "the start of a code": ["0037", "0149", "012"],
        "a whole code": ["000037", "003700", "014800"],
        "other characters": ["%", "_", "'", '"', "100%", "a_b", "\\"],
        "50 words of one letter": [" ".join("aeiounrstklmdbgpjhcwyfvqxz0123456789.,-/()&+:;'\"%_!"[:50])],
        "100 characters": ["kantor kesehatan " * 5 + "wilayah", "x" * 100],
    }


def klpd(number: int, place: str) -> dict[str, str | None]:
    name = f"KEMENTERIAN {place}"
    return {"code": f"K{number}", "name": name, "kind": None, "search": search_text([name], [f"K{number}"])}


async def fill(database: Database, size: int) -> None:
    words = [
        {"list": number, "i": i, "word": word}
        for number, words in enumerate((KINDS.split(), SUBJECTS.split(), places()))
        for i, word in enumerate(words)
    ]
    async with database.begin() as tx:
        await tx.execute(
            text("CREATE TABLE bench_word (list INTEGER, i INTEGER, word TEXT, PRIMARY KEY (list, i))")
        )
        await tx.execute(text("INSERT INTO bench_word VALUES (:list, :i, :word)"), words)
        klpds = [klpd(i, word) for i, word in enumerate(places()[:KLPDS])]
        await tx.execute(insert(Klpd), klpds)
        await tx.execute(text(FILL), {"size": size, "big": min(10_000, size * 5 // 7), "codes": f" {CODES} "})
        await tx.execute(text("DROP TABLE bench_word"))
    if not database.is_sqlite:  # the server does this by itself, a little later
        async with database.reading() as connection:
            await connection.execute(text("VACUUM ANALYZE"))


def migrated(server: Postgres, folder: str, sizes: list[int]) -> dict[tuple[str, int], str]:
    """The addresses of empty databases, by system and size."""
    urls = {}
    for size in sizes:
        server.create_database(f"bench_{size}")
        urls["SQLite", size] = f"sqlite+aiosqlite:///{folder}/{size}.db"
        urls["PostgreSQL", size] = server.url(f"bench_{size}")
    for url in urls.values():
        migrate_database(url)
    return urls


@asynccontextmanager
async def filled(urls: dict[tuple[str, int], str]) -> AsyncIterator[dict[tuple[str, int], Database]]:
    made = {which: Database(url) for which, url in urls.items()}
    try:
        for (system, size), database in made.items():
            await fill(database, size)
            sys.stderr.write(f"{system}: {size} satkers\n")
        yield made
    finally:
        for database in made.values():
            await database.dispose()


async def search(database: Database, klpd: str, q: str, cursor: str | None) -> str | None:
    """One search; answers the cursor of the next page."""
    if klpd == "all K/L/P/D":
        return (await store.find_klpds(database, q, cursor=cursor, limit=20)).next_cursor
    found = await store.find_satkers(database, klpd, q, cursor=cursor, limit=20)
    return found[1].next_cursor if found else None


async def measure(made: dict[tuple[str, int], Database], rounds: int) -> AsyncIterator[str]:
    for klpd in ("K0", "K7", "all K/L/P/D"):
        for kind, asked in queries().items():
            for page in ("first", "fifth") if kind in ("nothing typed", "one letter") else ("first",):
                times = await times_of(made, klpd, asked, page, rounds)
                for system in ("SQLite", "PostgreSQL"):
                    yield line(klpd, f"{kind}, {page} page", system, times)


async def times_of(
    made: dict[tuple[str, int], Database], klpd: str, asked: list[str], page: str, rounds: int
) -> dict[tuple[str, int], list[float]]:
    """Milliseconds of every search, by database and size."""
    times: dict[tuple[str, int], list[float]] = {which: [] for which in made}
    cursors = {(which, q): await cursor_of(made[which], klpd, q, page) for which in made for q in asked}
    for turn in range(rounds):
        q = asked[turn % len(asked)]
        for which, database in made.items():
            start = time.perf_counter()
            await search(database, klpd, q, cursors[which, q])
            times[which].append((time.perf_counter() - start) * 1000)
    return times


async def cursor_of(database: Database, klpd: str, q: str, page: str) -> str | None:
    cursor = None
    for _ in range(4 if page == "fifth" else 0):
        cursor = await search(database, klpd, q, cursor)
    return cursor


def line(klpd: str, kind: str, system: str, times: dict[tuple[str, int], list[float]]) -> str:
    where = {"K0": "the largest", "K7": "another"}.get(klpd, klpd)
    sizes = [size for name, size in times if name == system]
    marks = {size: quantiles(times[system, size], n=100) for size in sizes}
    cells = [f"{marks[size][49]:.1f} / {marks[size][98]:.1f}" for size in sizes]
    growth = f"{marks[sizes[1]][49] / marks[sizes[0]][49]:.1f}" if len(sizes) > 1 else ""
    return f"| {where} | {kind} | {system} | {' | '.join(cells)} | {growth} |"


async def plans(made: dict[tuple[str, int], Database]) -> AsyncIterator[str]:
    for (system, size), database in made.items():
        for kind, asked in queries().items():
            yield f"\n## {system}, {size} satkers: {kind}"
            for statement in await statements(database, asked[0]):
                yield "\n".join(["", *statement])


async def statements(database: Database, q: str) -> list[list[str]]:
    """The plan of each statement that this search sends."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    await search(database, "K0", q, None)
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF) "
    async with database.reading() as connection:
        answers = [
            await connection.exec_driver_sql(explain + statement, values) for statement, values in sent[1:]
        ]
        return [[str(row[-1]) for row in answer] for answer in answers]


async def main(urls: dict[tuple[str, int], str], rounds: int, explain: bool) -> None:
    async with filled(urls) as made:
        if not explain:
            sizes = sorted({size for _, size in made})
            head = " | ".join(f"{size:,}" for size in sizes)
            sys.stdout.write(f"| K/L/P/D | query | on | {head} | growth |\n|{'---|' * (4 + len(sizes))}\n")
        async for each in plans(made) if explain else measure(made, rounds):
            sys.stdout.write(f"{each}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[7_000, 50_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--explain", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Postgres() as postgres:
        addresses = migrated(postgres, directory, sorted(arguments.sizes))
        asyncio.run(main(addresses, arguments.rounds, arguments.explain))
