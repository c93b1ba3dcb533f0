"""The history: what happened to whose satker, written in the transaction of the change."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.logs import request_id
from app.models import History

Event = Literal[
    "satker_added",
    "satker_changed",
    "satker_removed",
    "made_primary",
    "mapped",
    "access_gained",
    "access_ended",
    "unmapped",
    "registration",
    "moved",
    "imported",
]
Actor = Literal["pp", "operator", "system"]


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts for the service: `pp_id` is their token's subject, None where a command does."""

    pp_id: str | None
    reason: str


_operator: ContextVar[Operator | None] = ContextVar("operator", default=None)
_INSERT = insert(History)


@contextmanager
def acting(operator: Operator) -> Iterator[None]:
    """Whatever is recorded within is this operator's act, with its reason; the use cases need not know of it."""
    token = _operator.set(operator)
    try:
        yield
    finally:
        _operator.reset(token)


async def record(
    tx: AsyncConnection,
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
) -> None:
    """One row about a satker of `pp_id`, who did it themselves unless another actor is named.

    Within `acting` that is the operator. `outcome` is `ok`, `uncertain`, the code of the problem that it ended in,
    `never_arrived` or `orphan`.
    """
    row = {
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
    await tx.execute(_INSERT, row)


def _by(operator: Operator | None, actor: Actor, pp_id: str) -> dict[str, str | None]:
    if operator is not None:
        return {"actor": "operator", "actor_pp_id": operator.pp_id, "reason": operator.reason}
    return {"actor": actor, "actor_pp_id": pp_id if actor == "pp" else None, "reason": None}
