"""Finding satkers and K/L/P/D in the catalog."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from app.catalog import store
from app.catalog.importer import SAMPLE, import_satkers
from app.catalog.store import FEW
from app.catalog.text import search_text, search_words, words
from app.cursors import BadCursor
from app.db import Database
from app.held import Reader
from app.models import CatalogSatker, Klpd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from tests.catalog.files import satker, write

pytestmark = pytest.mark.anyio


async def put(database: Database, *names: str, klpd: str = "K1") -> None:
    """Satkers of these names, with codes counted up from 000001."""
    rows = [
        {
            "id": uuid4().hex,
            "klpd_code": klpd,
            "code": f"{number:06}",
            "kd_satker": None,
            "name": name,
            "active": True,
            "search": search_text([name], [f"{number:06}"]),
        }
        for number, name in enumerate(names, start=1)
    ]
    async with database.begin() as tx:
        await tx.execute(
            insert(Klpd).values(code=klpd, name=klpd, kind=None, search=search_text([klpd], [klpd]))
        )
        await tx.execute(insert(CatalogSatker), rows)


async def found(database: Database, q: str, klpd: str = "K1") -> list[str]:
    """The names on all pages, in the order of the answer."""
    names: list[str] = []
    cursor = None
    while True:
        answer = await store.find_satkers(database, klpd, q, cursor=cursor, limit=7)
        assert answer is not None
        names += [row.name for row in answer[1].items]
        cursor = answer[1].next_cursor
        if cursor is None:
            return names


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("kesehatan", ["BALAI KESEHATAN KOTA"]),
        ("SeHaTaN", ["BALAI KESEHATAN KOTA"]),
        ("  kota   BALAI ", ["BALAI KESEHATAN KOTA"]),
        ("kota hutan", ["DINAS KEHUTANAN KOTA"]),
        ("kota laut", []),
        ("000002", ["DINAS KEHUTANAN KOTA"]),
        ("00000", ["BALAI KESEHATAN KOTA", "DINAS KEHUTANAN KOTA"]),
        ("0002", []),
        ("balai 00000", ["BALAI KESEHATAN KOTA"]),
        ("kota 000002 000001", []),
        ("", ["BALAI KESEHATAN KOTA", "DINAS KEHUTANAN KOTA"]),
    ],
)
async def test_a_satker_is_found_by_parts_of_its_name_or_the_start_of_its_code(
    database: Database, q: str, expected: list[str]
) -> None:
    """Whatever the case and the order of the words. The middle of a code is no code."""
    await put(database, "BALAI KESEHATAN KOTA", "DINAS KEHUTANAN KOTA")

    assert expected == await found(database, q)


@pytest.mark.parametrize("q", ["%", "_", "!", "'", '"', "\\", "100%", "a_b", "o'b", "(x)", ";--", "é", "ß"])
async def test_a_character_that_means_something_to_a_database_means_itself(
    database: Database, q: str
) -> None:
    """It is found where it stands, and nowhere else."""
    await put(database, "NICHTS", f"ADA {q.upper()} DI SINI", "X100Y AXB")

    assert [f"ADA {q.upper()} DI SINI"] == await found(database, q)


async def test_unicode_is_found_in_any_case_and_form(database: Database) -> None:
    """Composed or not, and where one letter becomes two."""
    await put(database, "KAFE\u0301 STRASSE", "İZMİR")

    assert ["KAFE\u0301 STRASSE"] == await found(database, "kafé")
    assert ["KAFE\u0301 STRASSE"] == await found(database, "straße")
    assert ["İZMİR"] == await found(database, "i\u0307zm")


@pytest.mark.parametrize("many", [False, True])
async def test_the_best_matches_come_first_then_names(database: Database, many: bool) -> None:
    """A whole word, the start of a word, any part; the same however many there are."""
    whole = ["A AGAM", "Z (AGAM)"]
    start = ["B AGAMA", "Y KEAGAM AGAMA"]
    part = ["C KEAGAMAAN", "X SEAGAM"]
    more = [f"D KEAGAMAAN {number:03}" for number in range(FEW if many else 0)]
    await put(database, *part, *start, *more, *whole, "LAIN")

    assert [*whole, *start, part[0], *more, part[1]] == await found(database, "agam")


async def test_a_code_ranks_as_a_word(database: Database) -> None:
    """The whole code before its start before a part of a name."""
    await put(database, "Z", "A 9000001", "B 000001")

    assert ["B 000001", "Z", "A 9000001"] == await found(database, "000001")


async def test_a_local_code_is_found_by_its_start_in_any_case(database: Database, tmp_path: Path) -> None:
    """So is kd_satker."""
    lines = [satker(70101, "1.03.0.00", "DOTTED"), satker(80202, "X9-a", "LETTERS")]
    await import_satkers(database, write(tmp_path / "satkers.csv", lines))

    assert ["DOTTED"] == await found(database, "1.03.")
    assert ["DOTTED"] == await found(database, "701")
    assert ["LETTERS"] == await found(database, "x9-A")
    assert [] == await found(database, "0101")


async def test_a_hidden_satker_is_not_found(database: Database) -> None:
    """Neither by its name nor in the whole list."""
    await import_satkers(database, SAMPLE)

    assert [] == await found(database, "juru taman", "K91")
    assert "PUSAT PELATIHAN JURU TAMAN" not in await found(database, "", "K91")


async def test_satkers_of_one_name_are_all_found(database: Database) -> None:
    """Names repeat; pages neither skip nor repeat one."""
    await put(database, *["BIDHUMAS POLDA"] * 20)

    assert 20 == len(await found(database, "bidhumas"))
    assert 20 == len(await found(database, ""))


@pytest.mark.parametrize("q", ["", "satker", "a"])
async def test_pages_stay_right_while_rows_are_inserted(database: Database, q: str) -> None:
    """Nothing that was there is skipped or repeated."""
    names = [f"SATKER {number:03}" for number in range(FEW + 50)]
    await put(database, *names)
    await put(database, "LAIN", klpd="K2")

    seen: list[str] = []
    cursor = None
    for turn in range(len(names)):
        answer = await store.find_satkers(database, "K1", q, cursor=cursor, limit=20)
        assert answer is not None
        seen += [row.name for row in answer[1].items]
        cursor = answer[1].next_cursor
        if cursor is None:
            break
        async with database.begin() as tx:
            for name in (f"SATKER {turn:03}+", f"AAA SATKER {turn}"):
                row = {"id": uuid4().hex, "klpd_code": "K1", "name": name, "search": search_text([name], [])}
                await tx.execute(insert(CatalogSatker).values(code=None, kd_satker=name, active=True, **row))

    old = [name for name in seen if name in set(names)]
    assert names == old
    assert len(seen) == len(set(seen))


async def test_another_klpds_satkers_are_not_found(database: Database) -> None:
    """A K/L/P/D that there is not has none, and is told apart from an empty one."""
    await put(database, "SATU")
    await put(database, "DUA", klpd="K2")

    assert ["DUA"] == await found(database, "", "K2")
    for code in ("K3", "k1", "", "K1\x00", "%"):
        assert await store.find_satkers(database, code, "", cursor=None, limit=20) is None


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


BAD_CURSORS = [
    "?",
    "é",
    "AAAA",
    encoded(["0", "A"]),
    encoded(["3", "A", "B"]),
    encoded(["-1", "A", "B"]),
    encoded([True, "A", "B"]),
    encoded([0, "A", "B"]),
    encoded(["0", None, "B"]),
    encoded(["0", "A\x00", "B"]),
    encoded(["0", "A", "\ud800"]),
    encoded({"a": 1, "b": 2, "c": 3}),
    encoded(7),
    "W1tb" * 400,
    "A" * 3000,
]


@pytest.fixture
async def reader(database: Database) -> AsyncIterator[Reader]:
    reader = Reader(database)
    yield reader
    await reader.aclose()


@pytest.mark.parametrize("cursor", BAD_CURSORS)
async def test_a_cursor_that_is_none_of_ours_is_refused(
    database: Database, reader: Reader, cursor: str
) -> None:
    """Before anything is asked of the database."""
    await put(database, "SATU")
    for q in ("", "satu"):
        with pytest.raises(BadCursor):
            await store.find_satkers(database, "K1", q, cursor=cursor, limit=20)
        with pytest.raises(BadCursor):
            await store.find_klpds(reader, q, cursor=cursor, limit=20)


async def test_a_klpd_is_found_by_its_name_or_the_start_of_its_code(
    database: Database, reader: Reader
) -> None:
    """All of them, by name, when nothing is asked for."""
    await import_satkers(database, SAMPLE)

    async def codes(q: str) -> list[str]:
        return [row.code for row in (await store.find_klpds(reader, q, cursor=None, limit=20)).items]

    assert ["L91", "D92", "K92", "K91", "D93", "D91"] == await codes("")
    assert ["K92"] == await codes("rakyat PELAYARAN")
    assert ["D92", "D93", "D91"] == await codes("d9")
    assert ["D93"] == await codes("D93")
    assert [] == await codes("91")


@pytest.fixture
async def sample(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    await import_satkers(database, SAMPLE)
    yield database
    await database.dispose()


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=100))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_text_may_be_asked_for(sample: Database, q: str) -> None:
    """What comes holds every word of it; what does not, does not."""
    page = await store.find_klpds(Reader(sample), q, cursor=None, limit=100)
    everything = await store.find_klpds(Reader(sample), "", cursor=None, limit=100)

    asked = words(q)
    expected = {
        row.code
        for row in everything.items
        if all(
            any(word in part for part in search_words(row.name)) or row.code.lower().startswith(word)
            for word in asked
        )
    }
    assert expected == {row.code for row in page.items}
