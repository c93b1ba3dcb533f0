"""import-satkers: files of every shape, and files that are not what they should be."""

import json
import tracemalloc
from collections.abc import AsyncIterator, Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from app.catalog.importer import import_satkers
from app.catalog.sources import BadSource, Record, records
from app.db import Database
from openpyxl import Workbook

from tests.catalog.files import names, reduced, satker, satkers, write

pytestmark = pytest.mark.anyio

HEAD = "kd_klpd,nama_klpd,kd_satker_str,nama_satker,jumlah_paket\n"


def told(_doing: str, _done: int, _total: int) -> None:
    pass


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes | str], list[Record]]:
    """The records of a file with this content."""

    def read(content: bytes | str) -> list[Record]:
        path = tmp_path / "file"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list(records(path, told))

    return read


Read = Callable[[bytes | str], list[Record]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_may_have_any_delimiter_end_of_line_and_mark(
    read: Read, delimiter: str, end: str, mark: str
) -> None:
    """Columns are found by their names, in any order and case."""
    lines = ["Nama_Satker", "KD_KLPD", "nama_klpd", "kd_satker_str"], ["A", "K1", "SATU", "0001"]

    [record] = read(mark + end.join(delimiter.join(line) for line in lines) + end)

    assert (2, None) == (record.line, record.fault)
    assert "0001" == record.values["kd_satker_str"]
    assert "A" == record.values["nama_satker"]


def test_a_quoted_field_may_hold_delimiters_and_ends_of_lines(read: Read) -> None:
    """Line numbers are those that an editor shows."""
    first, second = read(HEAD + 'K1,SATU,1,"A, ""B""\nC",1\n\nK1,SATU,2,D,1\n')

    assert (2, 'A, "B"\nC') == (first.line, first.values["nama_satker"])
    assert (5, "D") == (second.line, second.values["nama_satker"])


@pytest.mark.parametrize("years", ['"2013, 2014"', "2013, 2014", '"{2013,2014}"', "{2013,2014}", "2014", ""])
def test_tahun_aktif_may_have_either_form_and_no_quotes(read: Read, years: str) -> None:
    """Exporters forget to quote it."""
    [record] = read(f"kd_klpd,nama_klpd,kd_satker,nama_satker,tahun_aktif\nK1,SATU,1,A,{years}\n")

    assert record.fault is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("K1,SATU,1,A", "4 fields instead of 5"),
        ("K1,SATU,1,A,1,2", "6 fields instead of 5"),
        ('K1,SATU,1,"A"B,1', "not CSV"),
    ],
)
def test_a_broken_line_is_no_end_of_the_reading(read: Read, line: str, reason: str) -> None:
    """It has a fault and its text; those behind it are read."""
    broken, good = read(f"{HEAD}{line}\nK1,SATU,2,C,1\n")

    assert (2, line) == (broken.line, broken.text)
    assert reason in str(broken.fault)
    assert ("C", None) == (good.values["nama_satker"], good.fault)


@pytest.mark.parametrize(
    "shape", ["[%s]", '{"data": [%s]}', '\ufeff {"status": {"ok": [1]}, "data" : [ %s ] }']
)
@pytest.mark.parametrize("count", [1, 2000])
def test_json_may_be_an_array_or_an_object_with_data(read: Read, shape: str, count: int) -> None:
    """Numbers, texts and null alike."""
    items = [satker(n, f"{n:06}") | {"tahun_aktif": [2024]} for n in range(count)]
    items[0] |= {"kd_satker_str": None}

    found = read(shape % ", ".join(json.dumps(item) for item in items))

    assert count == len(found)
    assert ("0", "") == (found[0].values["kd_satker"], found[0].values["kd_satker_str"])
    assert [None] * count == [record.fault for record in found]


@pytest.fixture
async def on_sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    """For what never gets as far as a database: one of the two is enough."""
    database = Database(sqlite_url)
    yield database
    await database.dispose()


def workbook(*rows: list[Any]) -> bytes:
    """An .xlsx with these rows in its first sheet."""
    book = Workbook()
    assert book.active is not None
    for row in rows:
        book.active.append(row)
    file = BytesIO()
    book.save(file)
    return file.getvalue()


def zipped(name: str) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr(name, "x" * 1000)
    return file.getvalue()


def test_a_workbook_is_read_like_csv(read: Read) -> None:
    """Numbers lose their point, blank cells and rows are blank, a line is numbered as the sheet numbers it."""
    head = ["KD_KLPD", "nama_klpd", "kd_satker", "kd_satker_str", "nama_satker", "tahun_aktif"]
    content = workbook(
        head,
        ["K1", "SATU", 70101, "009101", " A, B ", "2013, 2014"],
        [],
        ["K1", "SATU", 70102.0, 9102, None, "{2013,2014}", None],
        ["K1", "SATU", 3, "3", "C", "", "more"],
    )

    first, second, third = read(content)

    assert (2, "70101", "009101", "A, B") == (
        first.line,
        *(first.values[name] for name in ("kd_satker", "kd_satker_str", "nama_satker")),
    )
    assert 'K1,SATU,70101,009101,"A, B","2013, 2014"' == first.text
    assert (4, "70102", "9102", "") == (
        second.line,
        *(second.values[name] for name in ("kd_satker", "kd_satker_str", "nama_satker")),
    )
    assert (5, "7 fields instead of 6") == (third.line, third.fault)


BAD_FILES = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\n", "the file is empty"),
    "only a header": (HEAD.encode(), "holds no record"),
    "a web page": (b"<!DOCTYPE html><html>blocked</html>", "a web page"),
    "a broken workbook": (b"PK\x03\x04\x14\x00", "no workbook"),
    "a ZIP file of something else": (zipped("a.txt"), "no workbook"),
    "an empty workbook": (workbook(), "the first sheet is empty"),
    "a workbook with a header alone": (workbook(HEAD.strip().split(",")), "holds no record"),
    "a workbook with other columns": (workbook(["kode", "nama"], [1, "A"]), "wrong columns"),
    "a workbook cut off": (
        workbook(HEAD.strip().split(","), ["K1", "SATU", "1", "A", 1])[:-200],
        "no workbook",
    ),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old or encrypted workbook"),
    "not UTF-8": (HEAD.encode() + "K1,SATU,1,CAF\u00c9,1\n".encode("latin-1"), "not UTF-8"),
    "UTF-16": (HEAD.encode("utf-16"), "not UTF-8"),
    "wrong columns": (b"kode,nama\n1,A\n", "wrong columns: kd_klpd, nama_klpd, nama_satker"),
    "no code column": (b"kd_klpd,nama_klpd,nama_satker\nK1,SATU,A\n", "kd_satker or kd_satker_str"),
    "a column twice": (HEAD.strip().encode() + b",kd_klpd\n", "column named twice: kd_klpd"),
    "cut off in a line": (HEAD.encode() + b"K1,SATU,1,A,1\nK1,SATU,2", "cut off in line 3"),
    "cut off within quotes": (HEAD.encode() + b'K1,SATU,1,A,1\nK1,SATU,2,"B\n', "within quotes"),
    "JSON cut off": (
        b'[{"kd_klpd": "K1", "nama_klpd": "SATU", "nama_satker": "A", "kd_satker": 1}, {',
        "cut off",
    ),
    "JSON of one object": (b'{"message": "blocked"}', "no array `data`"),
    "JSON of nothing": (b"[]", "holds no record"),
    "JSON of numbers": (b"[1, 2]", "holds no record"),
    "JSON with other names": (b'[{"kode": 1}]', "wrong columns"),
    "JSON without commas": (b"[{} {}]", "wrong columns"),
    "JSON too deep": (b"[" * 100_000, "broken"),
}


@pytest.mark.parametrize("case", BAD_FILES)
async def test_importing_a_bad_file_says_why_in_one_line_and_changes_nothing(
    on_sqlite: Database, tmp_path: Path, case: str
) -> None:
    """Whatever good lines stand before the bad one."""
    content, reason = BAD_FILES[case]
    path = tmp_path / "bad"
    path.write_bytes(content)

    with pytest.raises(BadSource) as refusal:
        await import_satkers(on_sqlite, path)

    assert reason in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert [] == await satkers(on_sqlite)


async def test_importing_a_file_that_is_not_there_says_so(database: Database, tmp_path: Path) -> None:
    """So does importing a folder."""
    with pytest.raises(BadSource, match="No such file"):
        await import_satkers(database, tmp_path / "none.csv")
    with pytest.raises(BadSource, match="Is a directory"):
        await import_satkers(database, tmp_path)


async def test_rejects_never_overwrite_the_source(database: Database, tmp_path: Path) -> None:
    """A slip of the keyboard must not cost the file."""
    path = write(tmp_path / "satkers.csv", [satker(1)])

    with pytest.raises(BadSource, match="overwrite"):
        await import_satkers(database, path, rejects=path)

    assert path.read_text().startswith("kd_satker")


BAD_LINES: dict[str, tuple[dict[str, Any], str]] = {
    "no code": (satker("", ""), "the code is blank"),
    "no name": (satker(1, "1", "  "), "nama_satker is blank"),
    "no K/L/P/D": (satker(1, "1", kd_klpd=""), "kd_klpd is blank"),
    "a K/L/P/D that fits in no path": (satker(1, "1", kd_klpd="K/1"), "kd_klpd is not a code"),
    "NUL in a name": (satker(1, "1", "A\x00B"), "control characters"),
    "an escape in a name": (satker(1, "1", "A\x1bB"), "control characters"),
    "half a surrogate in a name": (satker(1, "1", "A\ud800B"), "control characters"),
    "a name without end": (satker(1, "1", "A" * 301), "a name is too long"),
    "a kd_satker of letters": (satker("1a", "1"), "kd_satker is not a number"),
    "a code with blanks": (satker(1, "1 2"), "kd_satker_str is not a code"),
    "a code that a spreadsheet turned into a number": (satker(1, "1.03E+12"), "turned into a number"),
}


@pytest.mark.parametrize("case", BAD_LINES)
async def test_importing_a_bad_line_rejects_that_line_alone(
    database: Database, tmp_path: Path, case: str
) -> None:
    """The others are imported."""
    line, reason = BAD_LINES[case]
    path = tmp_path / "satkers.json"
    path.write_text(json.dumps([line, satker(2, "2", "B")]))

    summary = await import_satkers(database, path, rejects=tmp_path / "rejects.csv")

    assert (2, 1, 1) == (summary.read, summary.inserted, summary.rejected)
    assert reason in next(iter(summary.reasons))
    assert ["B"] == await names(database)


async def test_importing_shows_how_far_it_is(database: Database, tmp_path: Path) -> None:
    """Reading in bytes, then writing in satkers, each up to the whole."""
    path = write(tmp_path / "satkers.csv", [reduced(f"{n:06}", "A") for n in range(2500)])
    seen: list[tuple[str, int, int]] = []

    await import_satkers(database, path, progress=lambda *step: seen.append(step))

    size = path.stat().st_size
    assert ("reading", size, size) in seen
    assert [("writing", 2000, 2500), ("writing", 2500, 2500)] == [
        step for step in seen if step[0] == "writing"
    ]


def test_a_large_json_file_is_read_item_by_item(tmp_path: Path) -> None:
    """4 MB of items need a fraction of that in memory."""
    path = tmp_path / "big.json"
    item = json.dumps(satker(1, "000001", "A" * 100))
    path.write_text("[" + ", ".join([item] * 14_000) + "]")

    tracemalloc.start()
    count = sum(1 for _ in records(path, told))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 14_000 == count
    assert path.stat().st_size > 4_000_000
    assert peak < 1_000_000
