"""import-mappings: the pairs of PP, satker and company that exist at mbizmarket today.

A line adds the satker to the PP's list and, where it names a company, maps them. A line is applied in one transaction
that also remembers it, so an import that died half way is simply run again.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalog.sources import Columns, Progress, Record, records
from app.db import Conflict, Database
from app.mapping import standing as standings
from app.mapping import transitions
from app.mapping.standing import Standing
from app.models import Attempt, CatalogSatker, ImportedLine, PpSatker
from app.satker import store as satkers
from app.satker.schemas import CompanyOut

COLUMNS = Columns(
    needed=("pp_id", "company_id"),
    one_of=("kd_satker", "satker_code"),
    further=("email", "klpd_code", "company_name", "account_id", "preferred"),
)
LISTED = 50  # line numbers per reason that the report names
TRIES = 3  # when the live service changes the same satker at the same moment

Outcome = Literal["mapped", "joined", "satker_only", "company_conflict", "satker_conflict", "in_progress"]


@dataclass(frozen=True, slots=True)
class Line:
    """A line that can be applied."""

    number: int
    pp_id: str
    klpd_code: str
    code: str
    kd_satker: str
    company_id: str
    company_name: str
    account_id: str
    preferred: bool
    is_primary: bool  # the PP's first line: the satker that came with the account

    @property
    def company(self) -> CompanyOut:
        return CompanyOut(company_id=self.company_id, name=self.company_name)

    @property
    def digest(self) -> str:
        """What the line says, whatever its place in the file."""
        parts = (self.pp_id, self.klpd_code, self.code, self.kd_satker, self.company_id, self.account_id)
        return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a line, and what an operator should read of it."""

    outcome: str
    note: str | None


@dataclass(slots=True)
class Report:
    """How many lines came to what, which lines were rejected and why, and the conflicts with both companies."""

    dry_run: bool
    read: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, list[int]] = field(default_factory=dict)
    notes: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, result: Result) -> None:
        self.outcomes[result.outcome] = self.outcomes.get(result.outcome, 0) + 1
        if result.outcome == "rejected":
            self.rejected.setdefault(result.note or "", []).append(line)
        elif result.note:
            self.notes.append((line, result.note))

    def text(self) -> str:
        """The lines to print."""
        lines = ["Dry run: nothing was changed."] if self.dry_run else []
        counts = (f"{name.replace('_', ' ')} {count}" for name, count in sorted(self.outcomes.items()))
        lines.append(", ".join([f"read {self.read}", *counts]))
        for reason, numbers in self.rejected.items():
            more = f" and {len(numbers) - LISTED} more" if len(numbers) > LISTED else ""
            lines.append(f"rejected, {reason}: line {', '.join(map(str, numbers[:LISTED]))}{more}")
        lines += (f"line {number}: {note}" for number, note in sorted(self.notes))
        return "\n".join(lines)


async def import_mappings(
    database: Database, path: Path, *, dry_run: bool = False, progress: Progress
) -> Report:
    """Applies every line once. Of several companies for one satker the preferred line, else the first, wins.

    Raises BadSource (nothing was done) and DatabaseUnavailable (what was applied stays; run again).
    """
    report = Report(dry_run)
    lines = _lines(records(path, progress, COLUMNS), report)
    lines.sort(key=lambda line: not line.preferred)
    if dry_run:
        await _try_out(database, lines, report)
        return report
    for done, line in enumerate(lines):
        progress("writing", done, len(lines))
        await _apply_alone(database, line, report)
    progress("writing", len(lines), len(lines))
    return report


def _lines(source: Iterable[Record], report: Report) -> list[Line]:
    lines: list[Line] = []
    seen: set[str] = set()
    for record in source:
        report.read += 1
        reason = record.fault or _fault(record.values)
        if reason:
            report.add(record.line, Result("rejected", reason))
            continue
        line = _line(record, is_primary=record.values["pp_id"] not in seen)
        seen.add(line.pp_id)
        lines.append(line)
    return lines


def _fault(values: Mapping[str, str]) -> str | None:
    if not values["pp_id"]:
        return "pp_id is blank"
    if any("\0" in value or len(value) > 200 for value in values.values()):
        return "a value is over 200 characters, or has a NUL in it"
    if not values.get("kd_satker") and not (values.get("klpd_code") and values.get("satker_code")):
        return "neither kd_satker nor klpd_code with satker_code"
    if values.get("preferred", "") not in ("", "0", "1"):
        return "preferred is neither 0, 1 nor blank"
    return None


def _line(record: Record, *, is_primary: bool) -> Line:
    values = record.values
    return Line(
        number=record.line,
        pp_id=values["pp_id"],
        klpd_code=values.get("klpd_code", ""),
        code=values.get("satker_code", ""),
        kd_satker=values.get("kd_satker", ""),
        company_id=values.get("company_id", ""),
        company_name=values.get("company_name", "") or values.get("company_id", ""),
        account_id=values.get("account_id", ""),
        preferred=values.get("preferred") == "1",
        is_primary=is_primary,
    )


async def _try_out(database: Database, lines: Sequence[Line], report: Report) -> None:
    """Everything in one transaction that is taken back: the same report, and nothing changed."""

    class _TakenBack(Exception):
        pass

    try:
        async with database.begin() as tx:
            for line in lines:
                report.add(line.number, await _apply(tx, line))
            raise _TakenBack
    except _TakenBack:
        return


async def _apply_alone(database: Database, line: Line, report: Report) -> None:
    for _ in range(TRIES):
        try:
            async with database.begin() as tx:
                result = await _apply(tx, line)
        except Conflict:  # the live service was faster: look again at what is there now
            continue
        report.add(line.number, result)
        return
    report.add(line.number, Result("rejected", "changed by somebody else at the same moment; run again"))


_APPLIED = select(ImportedLine.outcome).where(ImportedLine.digest == bindparam("digest"))
_BY_KD = select(CatalogSatker.id).where(CatalogSatker.kd_satker == bindparam("kd_satker"))
_BY_CODE = select(CatalogSatker.id).where(
    CatalogSatker.klpd_code == bindparam("klpd_code"), CatalogSatker.code == bindparam("code")
)
_OWN = select(PpSatker.id).where(
    PpSatker.pp_id == bindparam("pp_id"), PpSatker.catalog_id == bindparam("catalog_id")
)
_COMPANY = (
    select(CatalogSatker.name, CatalogSatker.klpd_code, CatalogSatker.code)
    .join(Attempt, Attempt.catalog_id == CatalogSatker.id)
    .where(Attempt.state == "mapped", Attempt.company_id == bindparam("company_id"))
)
_MAPPED = select(Attempt.company_id, Attempt.company_name).where(
    Attempt.state == "mapped", Attempt.catalog_id == bindparam("catalog_id")
)


async def _apply(tx: AsyncConnection, line: Line) -> Result:
    before = await tx.scalar(_APPLIED, {"digest": line.digest})
    found = await _catalog_ids(tx, line)
    if len(found) != 1:
        return Result(
            "rejected", "several satkers have this code" if found else "no such satker in the catalog"
        )
    if before is not None:
        return Result("applied before", await _describe(tx, line, found[0], before))
    standing = await _on_the_list(tx, line, found[0])
    outcome = await _map(tx, standing, line) if line.company_id else "satker_only"
    if outcome != "in_progress":  # such a line is left for a later run
        await tx.execute(
            insert(ImportedLine).values(digest=line.digest, outcome=outcome, at=datetime.now(UTC))
        )
    return Result(outcome, await _describe(tx, line, found[0], outcome))


async def _catalog_ids(tx: AsyncConnection, line: Line) -> Sequence[str]:
    if line.kd_satker:
        return (await tx.scalars(_BY_KD, {"kd_satker": line.kd_satker})).all()
    return (await tx.scalars(_BY_CODE, {"klpd_code": line.klpd_code, "code": line.code})).all()


async def _on_the_list(tx: AsyncConnection, line: Line, catalog_id: str) -> Standing:
    """The PP's satker, added if it is not there yet, and primary if it is the one the account came with."""
    await satkers.lock_list(tx, line.pp_id)
    satker_id = await tx.scalar(_OWN, {"pp_id": line.pp_id, "catalog_id": catalog_id})
    if satker_id is None:
        added = await satkers.insert_satker(tx, line.pp_id, catalog_id, is_primary=False, actor="operator")
        satker_id = added.id
    if line.is_primary:
        await satkers.make_primary(tx, line.pp_id, satker_id, actor="operator")
    return await standings.lock(tx, line.pp_id, satker_id)


async def _map(tx: AsyncConnection, standing: Standing, line: Line) -> Outcome:
    """One satker has one company, and one company one satker: what is there wins."""
    live = standing.live
    if live is not None and live.open:
        return "in_progress"
    if live is not None and live.company_id != line.company_id:
        return "satker_conflict"
    account_id = line.account_id or None
    if live is not None:
        if not standing.has_access:
            await transitions.grant(
                tx,
                standing,
                attempt_id=live.id,
                company=line.company,
                via="legacy",
                account_id=account_id,
                actor="operator",
            )
        return "joined"
    if await tx.scalar(_COMPANY, {"company_id": line.company_id}):
        return "company_conflict"
    await transitions.insert_mapped(
        tx, standing, via="legacy", company=line.company, account_id=account_id, actor="operator"
    )
    return "mapped"


async def _describe(tx: AsyncConnection, line: Line, catalog_id: str, outcome: str) -> str | None:
    """What an operator has to look at, with both sides of a conflict as they are now."""
    mine = f"company {line.company_id} ({line.company_name})"
    match outcome:
        case "in_progress":
            return "a registration for this satker is open: run again later"
        case "satker_conflict":
            has = (await tx.execute(_MAPPED, {"catalog_id": catalog_id})).one_or_none()
            return f"{mine}: the satker has " + (
                f"{has.company_id} ({has.company_name})" if has else "none now"
            )
        case "company_conflict":
            serves = (await tx.execute(_COMPANY, {"company_id": line.company_id})).one_or_none()
            place = f"{serves.name} ({serves.klpd_code} {serves.code})" if serves else "no satker now"
            return f"{mine} serves {place}"
        case _:
            return None
