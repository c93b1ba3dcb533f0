"""make bench-search: how long catalog searches take with 7,000, 50,000 and 1,000,000 satkers, on both databases.

Every size has 630 K/L/P/D, one of them with 10,000 satkers (5,000 of the 7,000), and a PP with 200 of them on the list.
The databases take turns, query by query, so that what else the machine does troubles them alike. Prints a table in
Markdown (median / p99 in milliseconds), then the targets; with --explain the plans instead. A kind of query is asked
100 times or for 6 seconds, whichever is less.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from statistics import quantiles
from typing import Any

from app.catalog import store
from app.catalog.text import CODES, search_text
from app.db import Database
from app.held import Reader
from app.models import Klpd
from app.satker import store as own
from app.startup import migrate_database
from app.tables import Utc
from sqlalchemy import bindparam, event, insert, text
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
SYSTEMS = ("SQLite", "PostgreSQL")
GROWTH, P99 = 2.0, 50.0  # targets: from the first size to the second, and milliseconds at the second
SECONDS_EACH = 6.0
OWNER = "pp-bench"
PLACES_TO_LOOK = {"K0": "the largest", "K7": "another", "klpd": "all K/L/P/D", "own": "own list"}

Times = dict[tuple[str, int], list[float]]  # milliseconds, by system and size

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


OWN = """
INSERT INTO pp_satker (id, pp_id, catalog_id, is_primary, created_at, updated_at)
SELECT 's' || id, :owner, id, false, :now, :now FROM catalog_satker WHERE klpd_code = 'K0' ORDER BY name LIMIT 200
"""
MAPPED = """
INSERT INTO attempt (id, catalog_id, pp_id, satker_id, state, via, company_id, company_name, sends, not_found, asks,
    created_at, mapped_at)
SELECT 'a' || id, catalog_id, pp_id, id, 'mapped', 'login', 'c' || id, 'PT ' || id, 0, 0, 0, :now, :now FROM pp_satker
"""
ACCESS = """
INSERT INTO access (satker_id, attempt_id, pp_id, via, granted_at)
SELECT satker_id, id, pp_id, 'login', :now FROM attempt
"""


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
        for statement in (OWN, MAPPED, ACCESS):
            at = bindparam("now", datetime.now(UTC), type_=Utc)
            named = text(statement).bindparams(at, *([bindparam("owner", OWNER)] if statement == OWN else []))
            await tx.execute(named)
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
            await reader_of(database).aclose()
            await database.dispose()


reader_of = cache(Reader)  # its connections are kept


async def search(database: Database, where: str, q: str, cursor: str | None) -> str | None:
    """One search; answers the cursor of the next page."""
    if where == "own":
        choice = {"is_primary": None, "status": None, "sort": "satker_name", "page": 1, "size": 100}
        await own.page(reader_of(database), OWNER, q=q, **choice)
        return None
    if where == "klpd":
        return (await store.find_klpds(reader_of(database), q, cursor=cursor, limit=20)).next_cursor
    found = await store.find_satkers(database, where, q, cursor=cursor, limit=20)
    return found[1].next_cursor if found else None


async def measure(made: dict[tuple[str, int], Database], rounds: int) -> AsyncIterator[str]:
    sizes = sorted({size for _, size in made})
    head = [f"{system} {size:,}" for system in SYSTEMS for size in sizes]
    yield f"| in | query | {' | '.join(head)} | growth |\n|{'---|' * (3 + len(head))}"
    worst: dict[str, list[tuple[float, float]]] = {system: [] for system in SYSTEMS}
    for where in PLACES_TO_LOOK:
        for kind, asked in queries().items():
            for page in ("first", "fifth") if kind in ("nothing typed", "one letter") else ("first",):
                if (where, page) == ("own", "fifth"):
                    continue
                marks = marks_of(await times_of(made, where, asked, page, rounds))
                cells = [f"{marks[s, n][0]:.1f} / {marks[s, n][1]:.1f}" for s in SYSTEMS for n in sizes]
                growths = [growth(marks, system, sizes) for system in SYSTEMS]
                for system, grown in zip(SYSTEMS, growths, strict=True):
                    worst[system].append((marks[system, sizes[:2][-1]][1], grown))
                label = f"{PLACES_TO_LOOK[where]} | {kind}{', fifth page' if page == 'fifth' else ''}"
                yield f"| {label} | {' | '.join(cells)} | {' and '.join(f'{grown:.1f}' for grown in growths)} |"
    yield ""
    for system, seen in worst.items():
        p99, grown = (max(values) for values in zip(*seen, strict=True))
        yield f"- {system}: p99 at {sizes[:2][-1]:,} at most {p99:.0f} ms, target under {P99:.0f}: {reached(p99 < P99)}"
        yield f"- {system}: growth at most {grown:.2f}, target {GROWTH:.0f}: {reached(grown <= GROWTH)}"


def marks_of(times: Times) -> dict[tuple[str, int], tuple[float, float]]:
    """Median and 99th percentile."""
    cuts = {which: quantiles(each, n=100) for which, each in times.items()}
    return {which: (cut[49], cut[98]) for which, cut in cuts.items()}


def growth(marks: dict[tuple[str, int], tuple[float, float]], system: str, sizes: list[int]) -> float:
    """Of the median, from the first size to the second."""
    return marks[system, sizes[:2][-1]][0] / marks[system, sizes[0]][0]


def reached(is_so: bool) -> str:
    return "reached" if is_so else "NOT reached"


async def times_of(
    made: dict[tuple[str, int], Database], where: str, asked: list[str], page: str, rounds: int
) -> Times:
    times: Times = {which: [] for which in made}
    cursors = {(which, q): await cursor_of(made[which], where, q, page) for which in made for q in asked}
    end = time.monotonic() + SECONDS_EACH
    for turn in range(rounds):
        if turn > len(asked) and time.monotonic() > end:
            break
        q = asked[turn % len(asked)]
        for which, database in made.items():
            start = time.perf_counter()
            await search(database, where, q, cursors[which, q])
            times[which].append((time.perf_counter() - start) * 1000)
    return times


async def cursor_of(database: Database, where: str, q: str, page: str) -> str | None:
    cursor = None
    for _ in range(4 if page == "fifth" else 0):
        cursor = await search(database, where, q, cursor)
    return cursor


async def plans(made: dict[tuple[str, int], Database]) -> AsyncIterator[str]:
    for (system, size), database in made.items():
        for where in ("K0", "klpd", "own"):
            for kind, asked in queries().items():
                yield f"\n## {system}, {size} satkers, {PLACES_TO_LOOK[where]}: {kind}"
                for statement in await statements(database, where, asked[0]):
                    yield "\n".join(["", *statement])


async def statements(database: Database, where: str, q: str) -> list[list[str]]:
    """The plan of each statement that this search sends."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    await search(database, where, q, None)
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    explain = (
        "EXPLAIN QUERY PLAN "
        if database.is_sqlite
        else "EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF, TIMING OFF, SUMMARY OFF) "
    )
    async with database.reading() as connection:
        answers = [
            await connection.exec_driver_sql(explain + statement, values)
            for statement, values in sent
            if "SET LOCAL" not in statement
        ]
        return [[str(row[-1]) for row in answer] for answer in answers]


async def main(urls: dict[tuple[str, int], str], rounds: int, explain: bool) -> None:
    async with filled(urls) as made:
        async for each in plans(made) if explain else measure(made, rounds):
            sys.stdout.write(f"{each}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[7_000, 50_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--explain", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Postgres() as postgres:
        addresses = migrated(postgres, directory, sorted(arguments.sizes))
        asyncio.run(main(addresses, arguments.rounds, arguments.explain))
