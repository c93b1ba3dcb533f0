"""import-satkers: LKPP's master data into the catalog.

The file is sorted out first (staging.py); then its entries are compared with the catalog a batch at a time, each batch
in a transaction of its own. What a killed import has written is right by itself, and the next run does the rest.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from sqlalchemy import Row, bindparam, insert, select, update

from app.aio import AsyncConnection
from app.catalog.report import Summary
from app.catalog.sources import BadSource, Progress, Record, records
from app.catalog.staging import Entry, Staging, fault
from app.catalog.text import search_text
from app.db import Conflict, Database
from app.models import CatalogSatker, Klpd

SAMPLE = Path(__file__).with_name("sample.csv")  # made up, for trying the service out
BATCH = 2000
T = TypeVar("T")
Reject = Callable[[int, str, str], None]  # line, reason, the original line

_COLUMNS = ("klpd_code", "code", "kd_satker", "name", "active", "search")
_SATKER = select(CatalogSatker.id, *(getattr(CatalogSatker, column) for column in _COLUMNS))
_BY_KD = _SATKER.where(CatalogSatker.kd_satker.in_(bindparam("kds", expanding=True)))
_BY_CODE = _SATKER.where(
    CatalogSatker.klpd_code == bindparam("klpd"), CatalogSatker.code.in_(bindparam("codes", expanding=True))
)
_INSERT = insert(CatalogSatker)
_UPDATE = (
    update(CatalogSatker)
    .where(CatalogSatker.id == bindparam("row_id"))
    .values({column: bindparam(f"new_{column}") for column in _COLUMNS})
)
_SHOWN = (
    select(CatalogSatker.id, CatalogSatker.klpd_code, CatalogSatker.code, CatalogSatker.kd_satker)
    .where(
        CatalogSatker.klpd_code == bindparam("klpd"),
        CatalogSatker.active,
        CatalogSatker.id > bindparam("after"),
    )
    .order_by(CatalogSatker.id)
    .limit(BATCH)
)
_HIDE = (
    update(CatalogSatker).where(CatalogSatker.id.in_(bindparam("ids", expanding=True))).values(active=False)
)
_KLPDS = select(Klpd.code, Klpd.name, Klpd.kind, Klpd.search)
_INSERT_KLPD = insert(Klpd)
_UPDATE_KLPD = (
    update(Klpd)
    .where(Klpd.code == bindparam("row_code"))
    .values({column: bindparam(f"new_{column}") for column in ("name", "kind", "search")})
)


def silent(_doing: str, _done: int, _total: int) -> None:
    """Tells nobody about the progress."""


async def import_satkers(
    database: Database,
    path: Path,
    *,
    dry_run: bool = False,
    rejects: Path | None = None,
    deactivate_missing: bool = False,
    progress: Progress = silent,
) -> Summary:
    """Brings the catalog to what the file says and tells what became of every line.

    `rejects` gets the lines that were not imported, with their reasons. `deactivate_missing` hides the satkers that the
    file no longer has, of the K/L/P/D in it. Raises BadSource (nothing was done) and DatabaseUnavailable (what was
    written before stays; a rerun completes it).
    """
    summary = Summary(dry_run=dry_run)
    with _rejecting(summary, path, rejects) as reject, closing(Staging()) as staging:
        staging.load(_sound(records(path, progress), summary, reject, staging))
        if not summary.read:
            raise BadSource("the file holds no record")
        if staging.lost_zeros:
            summary.short_codes, summary.first_short_code = staging.short_codes, staging.first_short
        run = _Run(database, staging, summary, reject)
        try:
            await run.klpds()
            await run.satkers(progress)
            if deactivate_missing:
                await run.hide_missing()
        except Conflict:
            raise BadSource("another import changed the catalog meanwhile: run this one again") from None
    return summary


def _sound(source: Iterable[Record], summary: Summary, reject: Reject, staging: Staging) -> Iterator[Record]:
    """The records that can be imported; the others are rejected on the way."""
    for record in source:
        summary.read += 1
        reason = fault(record)
        if reason is None:
            yield record
        else:
            reject(record.line, reason, record.text)
            staging.refuse(record.values)


@contextmanager
def _rejecting(summary: Summary, source: Path, path: Path | None) -> Iterator[Reject]:
    if path is None:
        yield lambda line, reason, _text: summary.reject(line, reason)
        return
    if path.exists() and source.exists() and path.samefile(source):
        raise BadSource(f"{path}: the rejects would overwrite the source")
    try:
        file = path.open("w", encoding="utf-8", newline="", errors="backslashreplace")
    except OSError as error:
        raise BadSource(f"{path}: {error.strerror}") from None
    writer = csv.writer(file)

    def reject(line: int, reason: str, text: str) -> None:
        summary.reject(line, reason)
        writer.writerow((line, reason, text))

    try:
        with file:
            writer.writerow(("line", "reason", "original"))
            yield reject
    except OSError as error:
        raise BadSource(f"{path}: {error.strerror}") from None


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, BATCH)):
        yield batch


class _Run:
    """One import after its file was read."""

    def __init__(self, database: Database, staging: Staging, summary: Summary, reject: Reject) -> None:
        self._database = database
        self._staging = staging
        self._summary = summary
        self._reject = reject
        self._seen: list[str] = []  # ids of the catalog's satkers that the current batch was about

    def _transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        return self._database.reading() if self._summary.dry_run else self._database.begin()

    async def _write(self, tx: AsyncConnection, statement: Any, rows: Sequence[dict[str, Any]]) -> None:
        if rows and not self._summary.dry_run:
            await tx.execute(statement, rows)

    async def klpds(self) -> None:
        async with self._transaction() as tx:
            known = {row.code: row for row in await tx.execute(_KLPDS)}
            new: list[dict[str, Any]] = []
            changed: list[dict[str, Any]] = []
            for code, (names, kind) in self._staging.klpds.items():
                row = known.get(code)
                values = {
                    "name": list(names)[-1],
                    "kind": kind or (row and row.kind),
                    "search": search_text(names, (code,), before=row.search if row else ""),
                }
                if row is None:
                    new.append({"code": code, **values})
                elif tuple(values.values()) != tuple(row[1:]):
                    changed.append({"row_code": code, **_prefixed(values)})
            await self._write(tx, _INSERT_KLPD, new)
            await self._write(tx, _UPDATE_KLPD, changed)
        self._summary.klpds = len(self._staging.klpds)
        self._summary.klpds_inserted, self._summary.klpds_updated = len(new), len(changed)

    async def satkers(self, progress: Progress) -> None:
        total, done = self._staging.count_entries(), 0
        for batch in _batches(self._staging.entries()):
            async with self._transaction() as tx:
                known = await _known(tx, batch)
                new: list[dict[str, Any]] = []
                changed: list[dict[str, Any]] = []
                for entry in batch:
                    self._place(entry, known, new, changed)
                await self._write(tx, _INSERT, new)
                await self._write(tx, _UPDATE, changed)
            self._staging.see(self._seen)
            self._seen.clear()
            done += len(batch)
            progress("writing", done, total)

    def _place(
        self, entry: Entry, known: "_Known", new: list[dict[str, Any]], changed: list[dict[str, Any]]
    ) -> None:
        """Decides what becomes of the entry: a new row, a changed row, nothing, or a rejection."""
        summary = self._summary
        candidates = self._candidates(entry, known)
        self._seen += [row.id for row in candidates]
        if len(candidates) > 1:
            for line, text in self._staging.lines(entry):
                self._reject(line, "the code belongs to several satkers and kd_satker is not given", text)
            return
        row = candidates[0] if candidates else None
        values = _values(entry, row)
        summary.merged += entry.lines - 1
        summary.hidden += not entry.active
        if row is None:
            self._seen.append(uuid4().hex)
            new.append({"id": self._seen[-1], **values})
            summary.inserted += 1
        elif tuple(values.values()) == tuple(row[1:]):
            summary.unchanged += 1
        else:
            changed.append({"row_id": row.id, **_prefixed(values)})
            summary.updated += 1
            summary.note_change(row, values)

    def _candidates(self, entry: Entry, known: "_Known") -> list[Row[Any]]:
        """The rows that may be this satker: none, one, or several when a code alone does not tell."""
        same_code = known.by_code.get((entry.klpd, entry.code), [])
        if entry.kd:
            if entry.kd in known.by_kd:
                return [known.by_kd[entry.kd]]
            adoptable = entry.sharing == 1 and len(same_code) == 1 and same_code[0].kd_satker is None
            return same_code if adoptable else []
        by_code_alone = [row for row in same_code if row.kd_satker is None]
        return by_code_alone or [row for row in same_code if not self._staging.has(row.kd_satker)]

    async def hide_missing(self) -> None:
        for klpd in self._staging.klpds:
            after: str | None = ""
            while after is not None:
                after = await self._hide_page(klpd, after)

    async def _hide_page(self, klpd: str, after: str) -> str | None:
        """Hides what is missing of the next satkers of the K/L/P/D; answers where they end, None after the last."""
        async with self._transaction() as tx:
            rows = list(await tx.execute(_SHOWN, {"klpd": klpd, "after": after}))
            missing = self._staging.unseen(rows)
            if missing and not self._summary.dry_run:
                await tx.execute(_HIDE, {"ids": missing})
        self._summary.deactivated += len(missing)
        return rows[-1].id if rows else None


class _Known:
    """The rows of the catalog that a batch may be about."""

    def __init__(self, rows: Iterable[Row[Any]]) -> None:
        self.by_kd: dict[str, Row[Any]] = {}
        self.by_code: dict[tuple[str, str | None], list[Row[Any]]] = {}
        for row in {row.id: row for row in rows}.values():
            if row.kd_satker:
                self.by_kd[row.kd_satker] = row
            self.by_code.setdefault((row.klpd_code, row.code), []).append(row)


async def _known(tx: AsyncConnection, batch: list[Entry]) -> _Known:
    rows = list(await tx.execute(_BY_KD, {"kds": [entry.kd for entry in batch if entry.kd]}))
    found = {row.kd_satker for row in rows}
    others = (entry for entry in batch if entry.kd not in found and entry.code)
    for klpd, entries in groupby(others, key=lambda entry: entry.klpd):
        codes = sorted({entry.code for entry in entries if entry.code})
        rows += await tx.execute(_BY_CODE, {"klpd": klpd, "codes": codes})
    return _Known(rows)


def _values(entry: Entry, row: Row[Any] | None) -> dict[str, Any]:
    """The columns in the order of _COLUMNS. What the source does not tell stays as it was."""
    code = entry.code or (row and row.code)
    kd_satker = entry.kd or (row and row.kd_satker)
    return {
        "klpd_code": entry.klpd,
        "code": code,
        "kd_satker": kd_satker,
        "name": entry.name,
        "active": entry.active,
        "search": search_text(entry.names, (code, kd_satker), before=row.search if row else ""),
    }


def _prefixed(values: dict[str, Any]) -> dict[str, Any]:
    """Under the names that an UPDATE's bind parameters can have."""
    return {f"new_{name}": value for name, value in values.items()}
