"""The history: what happened to whose satker, written in the transaction of the change."""

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

_INSERT = insert(History)


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
    reason: str | None = None,
) -> None:
    """One row about a satker of `pp_id`, who did it themselves unless another actor is named.

    `outcome` is `ok`, `uncertain`, the code of the problem that it ended in, or `never_arrived` or `orphan`.
    """
    row = {
        "at": at,
        "event": event,
        "actor": actor,
        "actor_pp_id": actor_pp_id or (pp_id if actor == "pp" else None),
        "pp_id": pp_id,
        "satker_id": satker_id,
        "satker_name": satker_name,
        "attempt_id": attempt_id,
        "company_id": company_id,
        "company_name": company_name,
        "via": via,
        "outcome": outcome,
        "reason": reason,
        "request_id": request_id.get(),
    }
    await tx.execute(_INSERT, row)
