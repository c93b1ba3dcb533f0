"""What has to be true of the database at any moment, as questions that find what is not.

The numbers are those of the promises: I2 one live attempt a satker, I3 nothing is left under way, I4 a mapping is there
if and only if its attempt succeeded and the history says so, I7 and I8 one satker, one company, I14 legal states.
Each question reads one moment of a live database.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnClause,
    ColumnElement,
    String,
    and_,
    bindparam,
    cast,
    column,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    table,
)

from app.aio import AsyncConnection
from app.db import AnySelect, Database
from app.mapping.transitions import OPEN
from app.models import Access, Attempt, Forgetting, History, PpSatker
from app.satker.store import MAX_SATKERS
from app.tables import Utc

SHOWN = 20  # examples of each violation
# How long one may be seen as under way after its lease: settling may be waiting for mbizmarket.
PATIENCE = timedelta(minutes=15)

LIVE = (*OPEN, "mapped")
GAINED = ("mapped", "access_gained", "imported", "moved")


@dataclass(frozen=True, slots=True)
class Violation:
    """`found` are ids of attempts, satkers, PPs or what the sentence names; at most SHOWN of them."""

    promise: str
    sentence: str
    found: tuple[str, ...]
    more: bool

    def __str__(self) -> str:
        return f"{self.promise}: {self.sentence}: {', '.join(self.found)}{' and more' if self.more else ''}"


async def violations(database: Database, *, patience: timedelta = PATIENCE) -> list[Violation]:
    """Every broken promise; empty when all is well."""
    async with database.reading() as db:
        return await find(db, patience)


async def find(db: AsyncConnection, patience: timedelta = PATIENCE) -> list[Violation]:
    late = datetime.now(UTC) - patience
    broken: list[Violation] = []
    for promise, sentence, question in (*QUESTIONS, *_TRIGGERS[db.dialect.name]):
        found = (await db.execute(question.limit(SHOWN + 1), {"late": late})).scalars().all()
        if found:
            shown = tuple(map(str, found[:SHOWN]))
            broken.append(Violation(promise, sentence, shown, len(found) > SHOWN))
    return broken


def _attempts(*wrong: ColumnElement[bool]) -> AnySelect:
    return select(Attempt.id).where(*wrong).order_by(Attempt.id)


def _twice(key: ColumnClause[Any], states: Iterable[str]) -> AnySelect:
    return select(key).where(Attempt.state.in_(tuple(states))).group_by(key).having(func.count() > 1)


def _told(*events: str, outcome: str | None = "ok") -> ColumnElement[bool]:
    """Whether the history has such a row about the attempt."""
    rows = [History.attempt_id == Attempt.id, History.event.in_(events)]
    return exists().where(*rows, *([History.outcome == outcome] if outcome else []))


def _registration(*outcomes: str) -> ColumnElement[bool]:
    rows = (History.attempt_id == Attempt.id, History.event == "registration")
    return exists().where(*rows, History.outcome.in_(outcomes))


def _gave_up() -> ColumnElement[bool]:
    """Whether the history says that it was refused."""
    rows = (History.attempt_id == Attempt.id, History.event == "registration")
    return exists().where(*rows, History.outcome.not_in(("uncertain", "orphan", "company_already_mapped")))


_SUCCEEDED = Attempt.state.in_(("mapped", "removed"))
_HELD = exists().where(Access.attempt_id == Attempt.id)
_SATKER = exists().where(PpSatker.id == Attempt.satker_id, PpSatker.catalog_id == Attempt.catalog_id)
_ACCESS_FITS = and_(
    PpSatker.pp_id == Access.pp_id, PpSatker.catalog_id == Attempt.catalog_id, Attempt.state == "mapped"
)
_ACCESS_TOLD = exists().where(
    History.attempt_id == Access.attempt_id,
    History.satker_id == Access.satker_id,
    History.event.in_(GAINED),
    History.outcome == "ok",
)
_ACCESSES = (
    select(Access.satker_id)
    .outerjoin(PpSatker, PpSatker.id == Access.satker_id)
    .outerjoin(Attempt, Attempt.id == Access.attempt_id)
)
# What the columns of an attempt in each state cannot be.
_IMPOSSIBLE = or_(
    and_(Attempt.state.not_in(("mapped", "removed")), Attempt.via != "register"),
    and_(Attempt.via == "register", Attempt.sends < 1),
    and_(Attempt.state == "calling", Attempt.lease_until.is_(None)),
    and_(Attempt.state.in_(OPEN), or_(Attempt.email_digest.is_(None), Attempt.ended_at.is_not(None))),
    and_(_SUCCEEDED, or_(Attempt.mapped_at.is_(None), Attempt.company_id.is_(None))),
    and_(Attempt.state == "mapped", Attempt.ended_at.is_not(None)),
    and_(Attempt.state.in_(("refused", "conflict", "orphan", "removed")), Attempt.ended_at.is_(None)),
    and_(Attempt.state.in_(("refused", "conflict")), Attempt.failure.is_(None)),
)

QUESTIONS: tuple[tuple[str, str, AnySelect], ...] = (
    ("I2", "satkers with several live attempts", _twice(Attempt.catalog_id, LIVE)),
    ("I2", "e-mails with several open registrations", _twice(Attempt.email_digest, OPEN)),
    (
        "I2",
        "open registrations of a satker that is off the list",
        _attempts(Attempt.state.in_(OPEN), not_(_SATKER)),
    ),
    (
        "I3",
        "attempts under way past their lease",
        _attempts(Attempt.state == "calling", Attempt.lease_until < bindparam("late", type_=Utc())),
    ),
    (
        "I4",
        "mappings that the history does not know of",
        _attempts(_SUCCEEDED, not_(_told("mapped", "imported"))),
    ),
    (
        "I4",
        "attempts that the history calls mapped, and that are not",
        _attempts(not_(_SUCCEEDED), _told("mapped", "imported")),
    ),
    (
        "I4",
        "mappings whose end and the history do not agree",
        _attempts(
            or_(
                and_(Attempt.state == "removed", not_(_told("unmapped"))),
                and_(Attempt.state != "removed", _told("unmapped")),
            )
        ),
    ),
    ("I4", "mappings to which nobody has access", _attempts(Attempt.state == "mapped", not_(_HELD))),
    (
        "I4",
        "satkers with access to what is not the mapping of that satker",
        _ACCESSES.where(not_(func.coalesce(_ACCESS_FITS, False))).order_by(Access.satker_id),
    ),
    (
        "I4",
        "satkers with an access that the history does not know of",
        _ACCESSES.where(not_(_ACCESS_TOLD)).order_by(Access.satker_id),
    ),
    ("I7", "satkers with several companies", _twice(Attempt.catalog_id, ("mapped",))),
    ("I8", "companies that serve several satkers", _twice(Attempt.company_id, ("mapped",))),
    ("I14", "attempts that cannot be as they are in their state", _attempts(_IMPOSSIBLE)),
    (
        "I14",
        "uncertain registrations that the history does not know of",
        _attempts(Attempt.state == "uncertain", not_(_registration("uncertain"))),
    ),
    (
        "I14",
        "registrations that the history saw refused, and that are neither refused nor an orphan",
        _attempts(_gave_up(), Attempt.state.not_in(("refused", "orphan"))),
    ),
    (
        "I14",
        "refused registrations that the history does not know of",
        _attempts(Attempt.state == "refused", not_(_gave_up())),
    ),
    (
        "I14",
        "conflicts that the history does not know of",
        _attempts(Attempt.state == "conflict", not_(_registration("company_already_mapped"))),
    ),
    (
        "I14",
        "orphans that were not reported",
        _attempts(Attempt.state == "orphan", not_(_registration("orphan"))),
    ),
    (
        "list",
        f"PPs with several primary satkers, none, or over {MAX_SATKERS}",
        select(PpSatker.pp_id)
        .group_by(PpSatker.pp_id)
        .having(or_(func.count().filter(PpSatker.is_primary) != 1, func.count() > MAX_SATKERS)),
    ),
    ("history", "PPs whose rows may be altered by anybody", select(Forgetting.pp_id)),
)


def _missing(trigger: str, there: ColumnElement[bool]) -> tuple[str, str, AnySelect]:
    return "history", "triggers that are not there to keep it", select(literal(trigger)).where(not_(there))


_SQLITE = table("sqlite_master", column("type"), column("name"))
_POSTGRESQL = table("pg_trigger", column("tgname"), column("tgenabled"))
_TRIGGERS = {
    "sqlite": tuple(
        _missing(name, exists().where(_SQLITE.c.type == "trigger", _SQLITE.c.name == name))
        for name in ("history_is_final", "history_is_kept", "history_is_new")
    ),
    "postgresql": tuple(
        _missing(
            name,
            exists().where(_POSTGRESQL.c.tgname == name, cast(_POSTGRESQL.c.tgenabled, String) != "D"),
        )
        for name in ("history_is_final", "history_is_kept")
    ),
}
