"""The history: what happened to whose satker, written in the transaction of the change, read newest first."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, case, insert, select, true, union

from app.aio import AsyncConnection
from app.db import AnyRow, AnySelect
from app.history import schemas
from app.logs import request_id
from app.models import Access, History, PpSatker
from app.tables import Str
from app.wording import Write

Event = schemas.Event
Actor = Literal["pp", "operator", "system"]


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts for the service: `pp_id` is their token's subject, None where a command does."""

    pp_id: str | None
    reason: str


_operator: ContextVar[Operator | None] = ContextVar("operator", default=None)
_INSERT = insert(History).inline()  # nobody asks for its id


@contextmanager
def acting(operator: Operator) -> Iterator[None]:
    """Whatever is recorded within is this operator's act, with its reason; the use cases need not know of it."""
    token = _operator.set(operator)
    try:
        yield
    finally:
        _operator.reset(token)


def entry(
    event: Event,
    *,
    at: datetime,
    pp_id: str,
    satker_id: str | None,
    satker_name: str | None,
    actor: Actor = "pp",
    actor_pp_id: str | None = None,
    attempt_id: str | None = None,
    company_id: str | None = None,
    company_name: str | None = None,
    via: str | None = None,
    outcome: str = "ok",
) -> Write:
    """One row about a satker of `pp_id`, who did it themselves unless another actor is named.

    Within `acting` that is the operator. `outcome` is `ok`, `uncertain`, the code of the problem that it ended in,
    `never_arrived` or `orphan`.
    """
    return _INSERT, {
        "at": at,
        "event": event,
        **_by(_operator.get(), actor, actor_pp_id or pp_id),
        "pp_id": pp_id,
        "satker_id": satker_id,
        "satker_name": satker_name,
        "attempt_id": attempt_id,
        "company_id": company_id,
        "company_name": company_name,
        "via": via,
        "outcome": outcome,
        "request_id": request_id.get(),
    }


def _by(operator: Operator | None, actor: Actor, pp_id: str) -> dict[str, str | None]:
    if operator is not None:
        return {"actor": "operator", "actor_pp_id": operator.pp_id, "reason": operator.reason}
    return {"actor": actor, "actor_pp_id": pp_id if actor == "pp" else None, "reason": None}


NEWEST = 2**63 - 1  # before this comes every row

_me, _satker = bindparam("me", type_=Str), bindparam("satker", type_=Str)
_before, _limit = bindparam("before", type_=BigInteger()), bindparam("limit", type_=BigInteger())


async def page(
    db: AsyncConnection, pp_id: str, *, satker_id: str | None, before: int, limit: int
) -> Sequence[AnyRow]:
    """At most `limit` rows older than the row `before`, newest first, of what the PP may see: rows about their own
    satkers, and all rows on the mappings that they have access to. With `satker_id`, those about that satker.

    One statement. Each part stops at `limit` rows by an index, however many there are.
    """
    values = {"me": pp_id, "satker": satker_id, "before": before, "limit": limit}
    statement = _page(satker_id is not None, db.dialect.name == "postgresql")
    return (await db.execute(statement, values)).all()


@lru_cache(maxsize=4)
def _page(one_satker: bool, lateral: bool) -> AnySelect:
    seen = union(_own(one_satker), _on_mappings(one_satker, lateral)).subquery("seen")
    newest = select(seen.c.id).order_by(seen.c.id.desc()).limit(_limit).subquery("newest")
    return (
        select(
            History.id,
            History.at,
            History.event,
            case(
                (and_(History.actor == "pp", History.actor_pp_id == _me), "self"), else_=History.actor
            ).label("actor"),
            _own_satker_id().label("satker_id"),
            History.satker_name,
            case((History.outcome == "ok", History.company_name)).label("company_name"),
            History.via,
            History.outcome,
        )
        .join(newest, newest.c.id == History.id)
        .order_by(History.id.desc())
    )


def _own_satker_id() -> ColumnElement[str]:
    """Of another PP's row the caller's own satker of that mapping, if they still have access to it."""
    own = select(Access.satker_id).where(Access.attempt_id == History.attempt_id, Access.pp_id == _me)
    return case((History.pp_id == _me, History.satker_id), else_=own.scalar_subquery())


def _own(one_satker: bool) -> AnySelect:
    own = select(History.id).where(History.pp_id == _me, History.id < _before)
    if one_satker:
        own = own.where(History.satker_id == _satker)
    return select(own.order_by(History.id.desc()).limit(_limit).subquery("own").c.id)


def _on_mappings(one_satker: bool, lateral: bool) -> AnySelect:
    """The newest rows of each mapping. PostgreSQL reads them by a lateral join, which SQLite has not."""
    held = (
        select(Access.attempt_id).join(PpSatker, PpSatker.id == Access.satker_id).where(PpSatker.pp_id == _me)
    )
    if one_satker:
        held = held.where(PpSatker.id == _satker)
    mine = held.subquery("mine")
    theirs = History.__table__.alias().c
    newest = (
        select(theirs.id)
        .where(theirs.attempt_id == mine.c.attempt_id, theirs.id < _before)
        .order_by(theirs.id.desc())
        .limit(_limit)
    )
    if lateral:
        each = newest.lateral("each")
        return select(each.c.id).select_from(mine.join(each, true()))
    return select(History.id).select_from(mine).join(History, History.id.in_(newest.correlate(mine)))
