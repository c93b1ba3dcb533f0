"""What is true after everything, whatever happened: read from our database and from mbizmarket's own truth.

The numbers are those of the promises that the service makes about failures: I1 to I8, and I14.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.db import AnyRow, Database
from app.models import Access, Attempt, History, PpSatker
from sqlalchemy import select

OPEN = {"calling", "uncertain"}
LIVE = OPEN | {"mapped"}
ACCOUNTED_FOR = LIVE | {"removed", "conflict", "orphan"}
GAINED = {"mapped", "access_gained", "imported"}

# From one state that the history names to the next; `calling` leaves no row of its own.
LEGAL = {
    "calling": {"uncertain", "mapped", "refused", "conflict"},
    "uncertain": {"uncertain", "mapped", "refused", "conflict", "orphan"},
    "refused": {"orphan"},
    "mapped": {"removed"},
}


@dataclass(frozen=True, slots=True)
class Seen:
    """Both sides at one moment, when nothing is under way."""

    attempts: dict[str, AnyRow]
    accesses: list[AnyRow]
    satkers: dict[str, AnyRow]
    history: dict[str, list[AnyRow]]  # by attempt, oldest first
    registrations: list[dict[str, Any]]


async def violations(database: Database, truth: dict[str, Any]) -> list[str]:
    """Every broken promise in words; empty when all is well. `truth` is what GET /sandbox/truth answers."""
    seen = await _read(database, truth)
    checks = (_i1, _i2, _i3, _i4, _i4_accesses, _i5, _i6, _i7_and_i8, _i14)
    return [broken for check in checks for broken in check(seen)]


async def _read(database: Database, truth: dict[str, Any]) -> Seen:
    history: dict[str, list[AnyRow]] = defaultdict(list)
    async with database.reading() as db:
        attempts = (await db.execute(select(*Attempt.__table__.columns))).all()
        accesses = (await db.execute(select(*Access.__table__.columns))).all()
        satkers = (await db.execute(select(*PpSatker.__table__.columns))).all()
        for row in await db.execute(select(*History.__table__.columns).order_by(History.id)):
            history[row.attempt_id or ""].append(row)
    return Seen(
        attempts={row.id: row for row in attempts},
        accesses=list(accesses),
        satkers={row.id: row for row in satkers},
        history=history,
        registrations=truth["registrations"],
    )


def _i1(seen: Seen) -> Iterator[str]:
    for reference in (registration["reference"] for registration in seen.registrations):
        attempt = seen.attempts.get(reference)
        state = attempt.state if attempt else "unknown to us"
        if state not in ACCOUNTED_FOR:
            yield f"I1: mbizmarket made an account for {reference}, which is {state}"


def _i2(seen: Seen) -> Iterator[str]:
    yield from _twice(
        "I2: live attempts of satker", (a.catalog_id for a in seen.attempts.values() if a.state in LIVE)
    )
    for attempt in (a for a in seen.attempts.values() if a.state in OPEN):
        satker = seen.satkers.get(attempt.satker_id)
        if satker is None or satker.catalog_id != attempt.catalog_id:
            yield f"I2: {attempt.id} is open, and the satker it was for is off the list"


def _i3(seen: Seen) -> Iterator[str]:
    now = datetime.now(UTC)
    for attempt in seen.attempts.values():
        if attempt.state == "calling" and attempt.lease_until <= now:
            yield f"I3: {attempt.id} is calling past its lease"


def _i4(seen: Seen) -> Iterator[str]:
    held = {access.attempt_id for access in seen.accesses}
    for attempt in seen.attempts.values():
        said = Counter(row.event for row in seen.history[attempt.id] if row.outcome == "ok")
        came = said["mapped"] + said["imported"] > 0
        if came != (attempt.state in ("mapped", "removed")):
            yield f"I4: {attempt.id} is {attempt.state}, and the history says {dict(said)}"
        if said["unmapped"] != (attempt.state == "removed"):
            yield f"I4: {attempt.id} is {attempt.state}, and was unmapped {said['unmapped']} times"
        if (attempt.id in held) != (attempt.state == "mapped"):
            yield f"I4: {attempt.id} is {attempt.state}, and access to it is {attempt.id in held}"


def _i4_accesses(seen: Seen) -> Iterator[str]:
    """An access is there exactly while the history says that it was gained and has not ended."""
    balance: Counter[tuple[str, str]] = Counter()
    for attempt_id, rows in seen.history.items():
        if not attempt_id or any(row.event == "moved" for row in rows):
            continue
        for row in (row for row in rows if row.outcome == "ok"):
            change = 1 if row.event in GAINED else -1 if row.event == "access_ended" else 0
            balance[attempt_id, row.satker_id] += change
    for access in seen.accesses:
        satker = seen.satkers.get(access.satker_id)
        if satker is None or satker.catalog_id != seen.attempts[access.attempt_id].catalog_id:
            yield f"I4: access of {access.satker_id} is to another satker's mapping"
        if access.attempt_id in {attempt_id for attempt_id, _ in balance}:
            balance[access.attempt_id, access.satker_id] -= 1
    for (attempt_id, satker_id), left in balance.items():
        if left:
            yield f"I4: the history of {satker_id}'s access to {attempt_id} is off by {left}"


def _i5(seen: Seen) -> Iterator[str]:
    made = (seen.attempts.get(registration["reference"]) for registration in seen.registrations)
    yield from _twice(
        "I5: accounts for one PP, satker and e-mail",
        ((a.pp_id, a.satker_id, a.email_digest) for a in made if a is not None),
    )


def _i6(seen: Seen) -> Iterator[str]:
    yield from _twice("I6: accounts made under reference", (r["reference"] for r in seen.registrations))
    for registration in seen.registrations:
        attempt = seen.attempts.get(registration["reference"])
        sends = attempt.sends if attempt else 0
        if registration["deliveries"] > sends:
            yield f"I6: {registration['reference']} arrived {registration['deliveries']}, was sent {sends} times"


def _i7_and_i8(seen: Seen) -> Iterator[str]:
    mapped = [attempt for attempt in seen.attempts.values() if attempt.state == "mapped"]
    yield from _twice("I7: companies of satker", (attempt.catalog_id for attempt in mapped))
    yield from _twice("I8: satkers of company", (attempt.company_id for attempt in mapped))


def _i14(seen: Seen) -> Iterator[str]:
    for attempt in seen.attempts.values():
        path = ["calling" if attempt.via == "register" else "nothing"]
        for state in filter(None, map(_state_of, seen.history[attempt.id])):
            if state == "mapped" and path[-1] == "mapped":
                continue  # the import of a second PP's access is told by the same event
            legal = {"mapped"} if path[-1] == "nothing" else LEGAL.get(path[-1], set())
            if state not in legal:
                yield f"I14: {attempt.id} went {' → '.join([*path, state])}"
            path.append(state)
        now = "uncertain" if attempt.state == "calling" and len(path) > 1 else attempt.state
        if path[-1] != now:
            yield f"I14: {attempt.id} is {attempt.state}, and its history ends with {path[-1]}"


def _state_of(row: AnyRow) -> str | None:
    """The state that this row of the history says an attempt came to."""
    match row.event, row.outcome:
        case "registration", "uncertain" | "orphan":
            return str(row.outcome)
        case "registration", "company_already_mapped":
            return "conflict"
        case "registration", _:
            return "refused"
        case "mapped" | "imported", "ok":
            return "mapped"
        case "unmapped", _:
            return "removed"
    return None


def _twice(what: str, keys: Iterable[object]) -> Iterator[str]:
    yield from (f"{what} {key}: {count}" for key, count in Counter(keys).items() if count > 1)
