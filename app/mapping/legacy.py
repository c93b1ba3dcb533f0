"""import-mappings: the pairs of PP, satker and company that exist at mbizmarket today.

A line adds the satker to the PP's list and, where it names a company, maps them. A line is applied in one transaction
that also remembers it, so an import that died half way is simply run again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sqlalchemy import bindparam, insert, select, update

from app.aio import AsyncConnection
from app.catalog.sources import BadSource, Progress, records
from app.db import AnyRow, Conflict, Database
from app.mapping import standing as standings
from app.mapping import transitions
from app.mapping.legacy_lines import COLUMNS, Line, sound
from app.mapping.standing import Standing
from app.models import Attempt, CatalogSatker, ImportedLine, PpSatker
from app.satker import store as satkers

LISTED = 50  # line numbers per reason that the report names
TRIES = 3  # when the live service changes the same satker at the same moment

Outcome = Literal["mapped", "joined", "satker_only", "company_conflict", "satker_conflict", "in_progress"]


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

    def reject(self, line: int, reason: str) -> None:
        self.add(line, Result("rejected", reason))

    @property
    def taken(self) -> int:
        """How many lines were not rejected."""
        return self.read - self.outcomes.get("rejected", 0)

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
    lines = list(sound(records(path, progress, COLUMNS), report.reject))
    report.read = len(lines) + report.outcomes.get("rejected", 0)
    if not report.read:
        raise BadSource("the file holds no record")
    lines.sort(key=lambda line: not line.preferred)
    if dry_run:
        await _try_out(database, lines, report)
        return report
    for done, line in enumerate(lines):
        progress("writing", done, len(lines))
        await _apply_alone(database, line, report)
    progress("writing", len(lines), len(lines))
    return report


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
    except Conflict:
        raise BadSource("the service changed the same satker at the same moment: run again") from None


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
_OWN = select(PpSatker.id, PpSatker.catalog_id, PpSatker.is_primary).where(
    PpSatker.pp_id == bindparam("pp_id")
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
    found = await _catalog_ids(tx, line)
    if len(found) != 1:
        return Result(
            "rejected", "several satkers have this code" if found else "no such satker in the catalog"
        )
    before = await tx.scalar(_APPLIED, {"digest": line.digest})
    if before not in (None, "in_progress"):
        return Result("applied before", await _describe(tx, line, found[0], before))
    await satkers.lock_list(tx, line.pp_id)
    own = (await tx.execute(_OWN, {"pp_id": line.pp_id})).all()
    mine = next((row for row in own if row.catalog_id == found[0]), None)
    if before is None:
        if mine is None and len(own) >= satkers.MAX_SATKERS:
            return Result("rejected", f"the PP has {satkers.MAX_SATKERS} satkers")
        mine = await _put_on_the_list(tx, line, found[0], own, mine)
    elif mine is None:  # the PP has taken it off since
        return Result("applied before", None)
    outcome: Outcome = "satker_only"
    if line.company_id:
        outcome = await _map(tx, await standings.lock(tx, line.pp_id, mine.id), line)
    await _remember(tx, line, before, outcome)
    return Result(outcome, await _describe(tx, line, found[0], outcome))


async def _catalog_ids(tx: AsyncConnection, line: Line) -> Sequence[str]:
    if line.kd_satker:
        return (await tx.scalars(_BY_KD, {"kd_satker": line.kd_satker})).all()
    return (await tx.scalars(_BY_CODE, {"klpd_code": line.klpd_code, "code": line.code})).all()


async def _put_on_the_list(
    tx: AsyncConnection, line: Line, catalog_id: str, own: Sequence[AnyRow], mine: AnyRow | None
) -> AnyRow:
    """Added if it is not there yet; primary if the account came with it, or if no other is."""
    if mine is None:
        alone = not any(row.is_primary for row in own)
        mine = await satkers.insert_satker(tx, line.pp_id, catalog_id, is_primary=alone, actor="operator")
    if line.is_primary and not mine.is_primary:
        await satkers.make_primary(tx, line.pp_id, mine.id, actor="operator")
    return mine


async def _remember(tx: AsyncConnection, line: Line, before: str | None, outcome: Outcome) -> None:
    """The line is not applied again. Of one that waits for a registration the mapping is still to come."""
    values = {"outcome": outcome, "at": datetime.now(UTC)}
    if before is None:
        await tx.execute(insert(ImportedLine).values(digest=line.digest, **values))
    else:
        await tx.execute(update(ImportedLine).where(ImportedLine.digest == line.digest).values(**values))


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
