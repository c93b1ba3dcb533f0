"""The files that master data comes in: CSV with any delimiter, JSON or a workbook, read a record at a time."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, TextIO


@dataclass(frozen=True, slots=True)
class Columns:
    """What a file must name, what it must name one of, and what else of it is read."""

    needed: tuple[str, ...]
    one_of: tuple[str, ...]
    further: tuple[str, ...]

    @property
    def known(self) -> tuple[str, ...]:
        return (*self.needed, *self.one_of, *self.further)


SATKERS = Columns(
    needed=("kd_klpd", "nama_klpd", "nama_satker"),
    one_of=("kd_satker", "kd_satker_str"),
    further=("jenis_klpd", "status_satker", "jumlah_paket"),
)

Progress = Callable[[str, int, int], None]  # what is being done, how far, of how much


class BadSource(Exception):
    """The file cannot be used at all, and nothing was done. The message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Record:
    """A line of the file: its number, its text, and its values by column, or why it has none."""

    line: int
    text: str
    values: Mapping[str, str]
    fault: str | None = None


def records(path: Path, progress: Progress, columns: Columns = SATKERS) -> Iterator[Record]:
    """Every record of the file, in order. Raises BadSource, also after some records: use none of them then."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            text = TextIOWrapper(file, encoding="utf-8-sig", newline="")
            for count, record in enumerate(_records(file, text, columns)):
                if count % 1000 == 0:
                    progress("reading", file.tell(), size)
                yield record
            progress("reading", size, size)
    except UnicodeDecodeError:
        raise BadSource(f"{path}: the text is not UTF-8") from None
    except OSError as error:
        raise BadSource(f"{path}: {error.strerror}") from None


def _records(file: BufferedReader, text: TextIO, columns: Columns) -> Iterator[Record]:
    start = file.peek(8)
    if start.startswith(b"PK\x03\x04"):
        return _workbook(file, columns)
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise BadSource(
            "this is an old or encrypted workbook: save it as .xlsx without a password, or as CSV"
        )
    first = _first_character(text)
    if not first:
        raise BadSource("the file is empty")
    if first == "<":
        raise BadSource("this is a web page, not data: the download was probably refused")
    return _json(text, columns) if first in "[{" else _csv(text, columns)


def _first_character(text: TextIO) -> str:
    """The first character that is no blank; the text is then read from its start again."""
    first = text.read(1)
    while first.isspace():
        first = text.read(1)
    text.seek(0)
    return first


def _csv(text: TextIO, columns: Columns) -> Iterator[Record]:
    line, header = 1, text.readline()
    while not header.strip():
        line, header = line + 1, text.readline()
    delimiter, names = _header(header, columns)
    taken: list[str] = []
    reader = csv.reader(_remembered(text, taken), delimiter=delimiter, strict=True)
    for cells, fault in _rows(reader):
        start, line = line + 1, line + len(taken)
        original = "".join(taken)
        taken.clear()
        if not cells and not fault:  # an empty line
            continue
        fault = fault or _shape(cells, names)
        if fault and not original.endswith(("\r", "\n")):
            raise BadSource(f"the file is cut off in line {start}")
        yield Record(
            start, original.rstrip("\r\n"), dict(zip(names, map(str.strip, cells), strict=False)), fault
        )


def _rows(reader: Iterator[list[str]]) -> Iterator[tuple[list[str], str | None]]:
    """The cells of each record, or why it has none: one broken record does not end the reading."""
    while True:
        try:
            yield next(reader), None
        except StopIteration:
            return
        except csv.Error as error:
            if str(error) == "unexpected end of data":
                raise BadSource(
                    "the file ends within quotes: it is cut off, or a quote is never closed"
                ) from None
            yield [], f"not CSV: {error}"


def _header(line: str, columns: Columns) -> tuple[str, list[str]]:
    """The delimiter under which the first line names the columns we need, and all its names."""
    readings = [(delimiter, _cells(line, delimiter)) for delimiter in ",;\t|"]
    delimiter, names = max(readings, key=lambda reading: len(set(reading[1]) & set(columns.known)))
    _check_columns(names, columns)
    return delimiter, names


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip().casefold() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error as error:
        raise BadSource(f"the first line is not CSV: {error}") from None


def _check_columns(names: list[str], columns: Columns) -> None:
    missing = [name for name in columns.needed if name not in names]
    if not set(columns.one_of) & set(names):
        missing.append(" or ".join(columns.one_of))
    if missing:
        raise BadSource(f"wrong columns: {', '.join(missing)} not found")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise BadSource(f"column named twice: {', '.join(twice)}")


def _remembered(text: TextIO, taken: list[str]) -> Iterator[str]:
    """The lines of the text; those that the reader took for its current record are in `taken`."""
    for line in text:
        taken.append(line)
        yield line


def _shape(cells: list[str], names: list[str]) -> str | None:
    if len(cells) < len(names):
        return f"{len(cells)} fields instead of {len(names)}"
    # The years are written `2013, 2014` or `{2013,2014}`, and exporters forget to quote them.
    years = names[-1] == "tahun_aktif" and all(
        re.fullmatch(r"[{} \d]*", cell) for cell in cells[len(names) - 1 :]
    )
    return None if len(cells) == len(names) or years else f"{len(cells)} fields instead of {len(names)}"


def _workbook(file: BinaryIO, columns: Columns) -> Iterator[Record]:
    from app.catalog import workbook  # costs 100 ms and 15 MB: for workbooks alone

    names: list[str] = []
    try:
        for number, row in enumerate(workbook.rows(file), start=1):
            cells = [_text(value) for value in row]
            while cells and not cells[-1]:
                cells.pop()
            if not names:
                names = [cell.casefold() for cell in cells]
                if names:
                    _check_columns(names, columns)
            elif cells:
                cells += [""] * (len(names) - len(cells))
                yield Record(
                    number, _line(cells), dict(zip(names, cells, strict=False)), _shape(cells, names)
                )
    except workbook.NotAWorkbook:
        raise BadSource("this is no workbook (.xlsx), or it is broken") from None
    if not names:
        raise BadSource("the first sheet is empty")


def _line(cells: list[str]) -> str:
    """As CSV, for the rejects."""
    text = StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _json(text: TextIO, columns: Columns) -> Iterator[Record]:
    seen = False
    for number, item in enumerate(_Array(text), start=1):
        if not isinstance(item, dict):
            yield Record(number, json.dumps(item), {}, "not an object")
            continue
        if not seen:
            _check_columns(list(item), columns)
            seen = True
        original = json.dumps(item, ensure_ascii=False)
        yield Record(number, original, {name: _text(item[name]) for name in columns.known if name in item})
    if not seen:
        raise BadSource("the file holds no record")


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():  # to a spreadsheet all numbers are
        value = int(value)
    return "" if value is None else str(value).strip()


class _Array:
    """The items of a JSON array, or of the array `data` of a JSON object, decoded one at a time."""

    CHUNK = 1 << 16
    LONGEST = 1 << 20
    _decode = json.JSONDecoder().raw_decode
    _blank = re.compile(r"[ \t\r\n]*")

    def __init__(self, text: TextIO) -> None:
        self._text = text
        self._buffer = ""
        self._at = 0

    def __iter__(self) -> Iterator[Any]:
        if self._take("{"):
            self._find_data()
        elif not self._take("["):
            raise self._broken()
        if self._take("]"):
            return
        while True:
            yield self._value()
            if self._take("]"):
                return
            self._expect(",")

    def _find_data(self) -> None:
        """Skips the members of the object up to the start of `data`'s array."""
        while not self._take("}"):
            key = self._value()
            self._expect(":")
            if key == "data" and self._take("["):
                return
            self._value()
            self._take(",")
        raise BadSource("the JSON object has no array `data`")

    def _take(self, character: str) -> bool:
        """Whether `character` comes next; if so it is used up."""
        if self._peek() != character:
            return False
        self._at += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._take(character):
            raise self._broken()

    def _peek(self) -> str:
        while True:
            blank = self._blank.match(self._buffer, self._at)
            self._at = blank.end() if blank else self._at
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def _more(self) -> bool:
        chunk = self._text.read(self.CHUNK)
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _value(self) -> Any:
        self._peek()
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except (ValueError, RecursionError):
                end = len(self._buffer)
            else:
                if end < len(self._buffer):  # at the very end a number might go on
                    self._at = end
                    return value
            if len(self._buffer) - self._at > self.LONGEST or not self._more():
                raise self._broken()

    def _broken(self) -> BadSource:
        return BadSource("the JSON is broken or cut off")
