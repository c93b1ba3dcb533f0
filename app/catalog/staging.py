"""The whole file, checked and sorted out in a temporary SQLite file before the catalog is touched.

So memory stays bounded whatever the size of the file, a file that turns out to be broken changes nothing, and the
result does not depend on the order of its lines.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

from app.catalog.sources import BadSource, Record
from app.catalog.text import is_clean
from app.db import AnyRow

LONGEST_NAME = 300  # the longest of LKPP's is 164; an index row of PostgreSQL has its limit too
_KLPD = re.compile(r"[A-Za-z0-9._-]{1,32}")  # it is a part of our paths
_KD = re.compile(r"[0-9]{1,18}")
_CODE = re.compile(r"[!-~]{1,64}")
_MANGLED = re.compile(r"\d(\.\d+)?E\+?\d+", re.IGNORECASE)

_SCHEMA = """
CREATE TABLE line (
    key TEXT, klpd TEXT, code TEXT, kd TEXT, name TEXT, active INTEGER, weight INTEGER, number INTEGER, text TEXT
);
CREATE TABLE entry (
    key TEXT, klpd TEXT, code TEXT, name TEXT, active INTEGER, weight INTEGER, names TEXT, lines INTEGER
);
CREATE TABLE seen (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE refused (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""

# A line without kd_satker means the satker that has its code in this file, if there is exactly one.
_JOIN_BY_CODE = """
CREATE INDEX line_by_code ON line (klpd, code, kd);
UPDATE line SET key = (SELECT min(o.key) FROM line o WHERE o.klpd = line.klpd AND o.code = line.code AND o.kd > '')
WHERE kd IS NULL AND 1 = (
    SELECT count(DISTINCT o.kd) FROM line o WHERE o.klpd = line.klpd AND o.code = line.code AND o.kd > ''
);
"""

# Where max() is the only one of its kind, SQLite takes the plain columns from the row that has the maximum.
_GROUP = """
INSERT INTO entry SELECT key, klpd, code, name, active, max(weight), group_concat(name, char(10)), count(*)
FROM line GROUP BY key;
CREATE INDEX entry_by_code ON entry (klpd, code, key);
"""

_ENTRIES = """
SELECT key, klpd, code, name, active, names, lines,
    (SELECT count(*) FROM entry o WHERE o.klpd = e.klpd AND o.code = e.code AND o.key LIKE 'kd %') AS sharing
FROM entry e ORDER BY klpd, code, key
"""

_SEEN = "SELECT 1 FROM seen WHERE id = ? UNION ALL SELECT 1 FROM refused WHERE key IN (?, ?) LIMIT 1"


@dataclass(frozen=True, slots=True)
class Entry:
    """A satker as the file has it. `names` are all spellings, `lines` how many lines spoke of it,
    `sharing` how many satkers with a kd_satker have this code in this file."""

    key: str
    klpd: str
    code: str | None
    kd: str | None
    name: str
    active: bool
    names: list[str]
    lines: int
    sharing: int


def fault(record: Record) -> str | None:
    """Why this line cannot be imported."""
    if record.fault:
        return record.fault
    values = record.values
    blank = [name for name in ("kd_klpd", "nama_klpd", "nama_satker") if not values.get(name)]
    if blank:
        return f"{blank[0]} is blank"
    if not _KLPD.fullmatch(values["kd_klpd"]):
        return "kd_klpd is not a code"
    return _name_fault(values["nama_klpd"]) or _name_fault(values["nama_satker"]) or _code_fault(values)


def _name_fault(name: str) -> str | None:
    if not is_clean(" ".join(name.split())):
        return "control characters in a name"
    return "a name is too long" if len(name) > LONGEST_NAME else None


def _code_fault(values: Mapping[str, str]) -> str | None:
    kd, code = values.get("kd_satker", ""), values.get("kd_satker_str", "")
    if not kd and not code:
        return "the code is blank"
    if kd and not _KD.fullmatch(kd):
        return "kd_satker is not a number"
    if code and not _CODE.fullmatch(code):
        return "kd_satker_str is not a code"
    return "kd_satker_str was turned into a number" if _MANGLED.fullmatch(code) else None


def _kd_key(kd: str) -> str:
    return f"kd {int(kd)}"


def _code_key(klpd: str | None, code: str | None) -> str:
    return f"co {klpd} {code}"


def _weight(packages: str, line: int) -> int:
    """The line with most packages weighs most, of equals the last."""
    count = int(packages) if re.fullmatch(r"[0-9]{1,9}", packages) else 0
    return count << 32 | line


class Staging:
    """One file's lines. `klpds` holds every K/L/P/D in it: code to (all names, the last one last; kind)."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("")  # a temporary file that nobody else sees; it goes with the connection
        self._db.executescript(_SCHEMA)
        self.klpds: dict[str, tuple[dict[str, None], str | None]] = {}
        self.short_codes = 0
        self.first_short = 0
        self._six_digits = 0

    def close(self) -> None:
        self._db.close()

    @property
    def lost_zeros(self) -> bool:
        """Most codes have six digits and some have fewer."""
        return 0 < self.short_codes < self._six_digits

    def load(self, records: Iterable[Record]) -> None:
        """Takes in lines that are free of faults and sorts them into entries. Raises BadSource."""
        rows = (self._row(record) for record in records)
        try:
            self._db.executemany("INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            (kinds,) = self._db.execute("SELECT count(DISTINCT substr(key, 1, 2)) FROM line").fetchone()
            if kinds == 2:
                self._db.executescript(_JOIN_BY_CODE)
            self._db.executescript(_GROUP)
        except sqlite3.OperationalError as error:
            raise BadSource(f"the temporary file: {error}") from None

    def _row(
        self, record: Record
    ) -> tuple[str, str, str | None, str | None, str, bool, int, int, str | None]:
        values = record.values
        klpd, code = values["kd_klpd"], values.get("kd_satker_str") or None
        kd = str(int(values["kd_satker"])) if values.get("kd_satker") else None
        name = " ".join(values["nama_satker"].split())
        self._note_klpd(klpd, " ".join(values["nama_klpd"].split()), values.get("jenis_klpd") or None)
        self._note_code(code, record.line)
        return (
            _kd_key(kd) if kd else _code_key(klpd, code),
            klpd,
            code,
            kd,
            name,
            values.get("status_satker", "aktif").casefold() == "aktif",
            _weight(values.get("jumlah_paket", ""), record.line),
            record.line,
            None if kd else record.text,
        )

    def _note_klpd(self, code: str, name: str, kind: str | None) -> None:
        names, earlier = self.klpds.setdefault(code, ({}, None))
        names.pop(name, None)
        names[name] = None
        self.klpds[code] = names, kind or earlier

    def _note_code(self, code: str | None, line: int) -> None:
        if code and code.isdigit():
            self._six_digits += len(code) == 6
            self.short_codes += len(code) < 6
            self.first_short = self.first_short or (line if len(code) < 6 else 0)

    def entries(self) -> Iterator[Entry]:
        """By K/L/P/D and code; those that are known by code alone come first."""
        with closing(self._db.execute(_ENTRIES)) as cursor:
            for key, klpd, code, name, active, names, lines, sharing in cursor:
                kd = key[3:] if key.startswith("kd ") else None
                spellings = list(dict.fromkeys(names.split("\n")))
                yield Entry(key, klpd, code, kd, name, bool(active), spellings, lines, sharing)

    def count_entries(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM entry").fetchone()
        return int(count)

    def has(self, kd: str) -> bool:
        """Whether the file has this kd_satker as an entry of its own."""
        return self._db.execute("SELECT 1 FROM entry WHERE key = ?", (f"kd {kd}",)).fetchone() is not None

    def lines(self, entry: Entry) -> Iterator[tuple[int, str]]:
        yield from self._db.execute(
            "SELECT number, text FROM line WHERE key = ? ORDER BY number", (entry.key,)
        )

    def see(self, ids: Iterable[str]) -> None:
        """Remembers the satkers of the catalog that the file has."""
        self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?)", ((i,) for i in ids))

    def refuse(self, values: Mapping[str, str]) -> None:
        """Remembers whom a rejected line spoke of: the file has that satker all the same."""
        kd, klpd, code = (values.get(name) for name in ("kd_satker", "kd_klpd", "kd_satker_str"))
        key = _kd_key(kd) if kd and _KD.fullmatch(kd) else _code_key(klpd, code)
        self._db.execute("INSERT OR IGNORE INTO refused VALUES (?)", (key,))

    def unseen(self, rows: Iterable[AnyRow]) -> list[str]:
        """Those of these satkers of the catalog that the file does not have."""
        return [row.id for row in rows if not self._has_seen(row)]

    def _has_seen(self, row: AnyRow) -> bool:
        keys = (row.id, row.kd_satker and _kd_key(row.kd_satker), _code_key(row.klpd_code, row.code))
        return self._db.execute(_SEEN, keys).fetchone() is not None
