"""What happened to the PP's satkers."""

from typing import Annotated

from fastapi import Query

from app import cursors
from app.db import AnyRow
from app.deps import Db, Pp, v1_router
from app.fields import OpaqueId
from app.history import store
from app.history.schemas import HistoryItemOut, HistoryPageOut
from app.problems import invalid_field

router = v1_router("Riwayat")

Limit = Annotated[int, Query(ge=1, le=100, description="Most items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=cursors.MAX_CURSOR, description="`next_cursor` of the page before.")
]
SatkerId = Annotated[
    OpaqueId | None, Query(description="An own satker, also one that is off the list by now.")
]


@router.get("/history", operation_id="listHistory", summary="What happened, newest first")
async def list_history(
    db: Db, pp: Pp, satker_id: SatkerId = None, cursor: Cursor = None, limit: Limit = 20
) -> HistoryPageOut:
    """The PP's own acts, and others' on mappings that the PP has access to. A satker that is not theirs has none."""
    async with db.reading() as reading:
        rows = await store.page(
            reading, pp.pp_id, satker_id=satker_id, before=_place(cursor), limit=limit + 1
        )
    shown = rows[:limit]
    return HistoryPageOut(
        items=[_item(row) for row in shown],
        next_cursor=cursors.write(shown[-1].id) if len(rows) > limit else None,
    )


def _place(cursor: str | None) -> int:
    if cursor is None:
        return store.NEWEST
    try:
        return cursors.read(cursor, int, 1)[0]
    except cursors.BadCursor:
        raise invalid_field("cursor") from None


def _item(row: AnyRow) -> HistoryItemOut:
    return HistoryItemOut(
        id=str(row.id),
        at=row.at,
        event=row.event,
        actor=row.actor,
        satker_id=row.satker_id,
        satker_name=row.satker_name,
        company_name=row.company_name,
        via=row.via,
        outcome=row.outcome,
    )
