"""Finding out what became of registrations, by evidence alone, while any number of replicas and requests do the same.

mbizmarket knows our reference. That it does not is evidence only when it was said several times over a grace period,
since its look-up lags behind its writes. Every change is a compare-and-set; who comes second changes nothing.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import uuid4

import structlog
from sqlalchemy import and_, bindparam, func, or_, select, update

from app.aio import AsyncConnection
from app.db import AnyRow, Conflict, DatabaseUnavailable
from app.history import store as history
from app.mapping import standing as standings
from app.mapping import transitions
from app.mapping.context import Context
from app.mapping.standing import Live, Standing
from app.mbiz import errors as mbiz
from app.mbiz.client import Call
from app.mbiz.contract import Registration
from app.models import Attempt, CatalogSatker
from app.problems import SatkerNotFound
from app.tables import Utc

NOT_FOUND_TIMES = 3  # at least so often, over the grace period
NEVER_ARRIVED = "never_arrived"
# How often, and how long, one that never arrived is asked about again.
ORPHAN_EVERY, ORPHAN_WATCH = timedelta(minutes=15), timedelta(days=1)
ROUND, PAUSE = 100, 0.05  # registrations a round, and seconds between them
BACKOFF_FIRST, BACKOFF_MOST = 5.0, 300.0  # seconds

log = structlog.get_logger()

Conclusion = Literal["made", "there", "conflict", "orphan"]


@dataclass(frozen=True, slots=True)
class Open:
    """An open registration as it was seen: `sends` tells this try from a later one under the same reference."""

    id: str
    pp_id: str
    satker_id: str
    digest: str | None
    sends: int

    @classmethod
    def of(cls, live: Live) -> "Open":
        return cls(live.id, live.pp_id, live.satker_id, live.email_digest, live.sends)


async def evidence(context: Context, call: Call, opened: Open) -> Registration | None:
    """mbizmarket's own word on the reference, if it can give one now and it is for the e-mail that was registered."""
    try:
        found = await context.mbiz.find_registration(call, opened.id)
    except mbiz.MbizError:
        return None
    return found if found and _is_for(context, opened, found) else None


def _is_for(context: Context, opened: Open, registration: Registration) -> bool:
    """Of a PP who was forgotten meanwhile there is no digest: the reference is ours, and nothing more can be said."""
    return opened.digest is None or opened.digest in context.digests.all_of(registration.account.email)


Change = Callable[[AsyncConnection, Standing], Awaitable[bool]]


async def change(context: Context, opened: Open, transition: Change) -> bool:
    """One transition, with the satker held. An open attempt keeps its satker: where that is gone, it was closed."""
    try:
        async with context.database.begin() as tx:
            return await transition(tx, await standings.lock(tx, opened.pp_id, opened.satker_id))
    except SatkerNotFound:
        return False


async def doubt(context: Context, opened: Open, actor: history.Actor = "pp") -> None:
    """The try has ended, and nobody knows how. A round that settles has set already when to ask next."""
    ask_at = datetime.now(UTC) if actor == "pp" else None

    async def uncertain(tx: AsyncConnection, standing: Standing) -> bool:
        return await transitions.doubt(
            tx, standing, attempt_id=opened.id, sends=opened.sends, ask_at=ask_at, actor=actor
        )

    await change(context, opened, uncertain)


async def refuse(context: Context, opened: Open, failure: str) -> None:
    async def refused(tx: AsyncConnection, standing: Standing) -> bool:
        return await transitions.refuse(
            tx, standing, attempt_id=opened.id, sends=opened.sends, failure=failure
        )

    await change(context, opened, refused)


async def conclude(
    context: Context, opened: Open, registration: Registration, *, actor: history.Actor
) -> Conclusion:
    """Maps the satker to the company of a registration that is ours."""
    company, account_id = registration.company, registration.account.account_id

    async def mapped(tx: AsyncConnection, standing: Standing) -> bool:
        made = await transitions.finish(
            tx, standing, attempt_id=opened.id, company=company, account_id=account_id, actor=actor
        )
        context.crash("before_commit")
        return made is not None

    async def conflicting(tx: AsyncConnection, standing: Standing) -> bool:
        return await transitions.conflict(
            tx, standing, attempt_id=opened.id, company=company, account_id=account_id, actor=actor
        )

    try:
        if await change(context, opened, mapped):
            context.crash("after_commit")
            return "made"
    except Conflict:
        if await change(context, opened, conflicting):
            return "conflict"
    return await _found_late(context, opened, registration)


async def _found_late(context: Context, opened: Open, registration: Registration) -> Conclusion:
    """Somebody else has closed the attempt meanwhile: what it is now, or an orphan if it had been given up."""
    async with context.database.begin() as tx:
        attempt = (await tx.execute(_ATTEMPT, {"id": opened.id})).one()
        if attempt.state in ("refused", "orphan"):
            await transitions.orphan(tx, attempt, registration.company, registration.account.account_id)
            return "orphan"
    return "conflict" if attempt.state == "conflict" else "there"


_ATTEMPT = (
    select(*Attempt.__table__.columns, CatalogSatker.name.label("satker_name"))
    .join(CatalogSatker, CatalogSatker.id == Attempt.catalog_id)
    .where(Attempt.id == bindparam("id"))
)


async def ask(context: Context, call: Call, opened: Open) -> bool:
    """Asks mbizmarket once what became of a registration, and writes down what follows. False when it is away."""
    await doubt(context, opened, actor="system")  # one that was left under way is uncertain from now on
    try:
        registration = await context.mbiz.find_registration(call, opened.id)
    except mbiz.BadAnswer:
        return True
    except mbiz.MbizError:
        return False
    if registration is None:
        await _not_found(context, opened)
    elif _is_for(context, opened, registration):
        await conclude(context, opened, registration, actor="system")
    return True


async def _not_found(context: Context, opened: Open) -> None:
    """Counts one "no such reference", and frees the satker when that was said often and long enough."""
    now = datetime.now(UTC)
    grace = timedelta(seconds=context.settings.settle_grace_seconds)

    async def counted(tx: AsyncConnection, standing: Standing) -> bool:
        asked = await tx.execute(_COUNT, {"attempt": opened.id, "sent": opened.sends, "now": now})
        row = asked.one_or_none()
        if row is None or row.not_found < NOT_FOUND_TIMES or now - row.not_found_since < grace:
            return False
        return await transitions.refuse(
            tx,
            standing,
            attempt_id=opened.id,
            sends=opened.sends,
            failure=NEVER_ARRIVED,
            actor="system",
            ask_again_at=now + ORPHAN_EVERY,
        )

    await change(context, opened, counted)


_COUNT = (
    update(Attempt)
    .where(
        Attempt.id == bindparam("attempt"), Attempt.state == "uncertain", Attempt.sends == bindparam("sent")
    )
    .values(
        not_found=Attempt.not_found + 1,
        not_found_since=func.coalesce(Attempt.not_found_since, bindparam("now", type_=Utc())),
    )
    .returning(Attempt.not_found, Attempt.not_found_since)
)


_WATCHED = and_(Attempt.state == "refused", Attempt.failure == NEVER_ARRIVED, Attempt.ask_at.is_not(None))
_DUE = select(*Attempt.__table__.columns).where(
    or_(
        Attempt.state == "uncertain",
        and_(Attempt.state == "calling", Attempt.lease_until <= bindparam("now", type_=Utc())),
        _WATCHED,
    )
)
_CLAIM = (
    update(Attempt)
    .where(
        Attempt.id == bindparam("attempt"),
        Attempt.state == bindparam("was"),
        Attempt.asks == bindparam("seen"),
    )
    .values(asks=Attempt.asks + 1, ask_at=bindparam("next", type_=Utc()))
)


async def settle(context: Context, *, whatever_the_backoff: bool = False) -> int:
    """One round over the registrations that are due; how many were asked about. Rounds may run at once, anywhere.

    A round is bounded in what it asks and how fast, and ends early while mbizmarket is away.
    """
    now = datetime.now(UTC)
    due = _DUE if whatever_the_backoff else _DUE.where(Attempt.ask_at <= now).limit(ROUND)
    async with context.database.reading() as db:
        rows = (await db.execute(due.order_by(Attempt.ask_at), {"now": now})).all()
    asked = 0
    for row in rows:
        if await _claim(context, row, now):
            asked += 1
            if not await _ask_row(context, row):
                break
            await asyncio.sleep(PAUSE)
    return asked


async def keep_settling(context: Context, every: float) -> None:
    """Rounds for as long as the process serves, not all replicas' at the same moment."""
    while True:
        await asyncio.sleep(every * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
        try:
            context.metrics.settled("ok", await settle(context))
            if overdue := await count_overdue(context):
                log.warning("registrations_overdue", count=overdue)
        except DatabaseUnavailable:
            context.metrics.settled("database_unavailable")
            log.warning("settling_waits", reason="database_unavailable")
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one round, the next one comes
            context.metrics.settled("failed")
            log.error("settling_failed", error=type(error).__name__)


async def count_overdue(context: Context) -> int:
    """How many registrations have been uncertain for longer than an operator wants to wait."""
    since = datetime.now(UTC) - timedelta(seconds=context.settings.uncertain_alert_seconds)
    async with context.database.reading() as db:
        return await db.scalar(_OVERDUE, {"since": since}) or 0


_OVERDUE = select(func.count()).where(
    Attempt.state.in_(("calling", "uncertain")), Attempt.created_at < bindparam("since", type_=Utc())
)


def backoff(asks: int) -> float:
    """Seconds until a registration that was asked about so often before is asked about again."""
    return min(BACKOFF_FIRST * 2.0 ** min(asks, 10), BACKOFF_MOST) * random.uniform(0.8, 1.2)  # noqa: S311


async def _claim(context: Context, row: AnyRow, now: datetime) -> bool:
    """Of several rounds one asks."""
    if row.state == "refused":
        later = now + ORPHAN_EVERY
        next_ask = later if later < row.ended_at + ORPHAN_WATCH else None
    else:
        next_ask = now + timedelta(seconds=backoff(row.asks))
    async with context.database.begin() as tx:
        seen = {"attempt": row.id, "was": row.state, "seen": row.asks, "next": next_ask}
        return bool((await tx.execute(_CLAIM, seen)).rowcount)


async def _ask_row(context: Context, row: AnyRow) -> bool:
    """False when mbizmarket is away. Of one that was given up only what turns up late changes anything."""
    opened = Open(row.id, row.pp_id, row.satker_id, row.email_digest, row.sends)
    call = Call.within(context.settings.mbiz_deadline_seconds / 3, f"settle-{uuid4().hex}")
    return await ask(context, call, opened)
