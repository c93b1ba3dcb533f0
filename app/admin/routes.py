"""What operators see and mend. The edge lets in whoever has the scope, whatever the role; to others it is not there."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Path, Query

from app import cursors
from app.admin import ending, moving, resolving, store
from app.admin.schemas import (
    AdminAttemptOut,
    AdminAttemptPageOut,
    AdminMappingOut,
    AdminMappingPageOut,
    MoveIn,
    ResolveIn,
    State,
)
from app.deps import Db, Linking, Pp, Upstream, v1_router
from app.fields import Name, OpaqueId
from app.history.store import Operator
from app.openapi import problems
from app.problems import (
    AttemptClosed,
    CompanyAlreadyMapped,
    LinkInProgress,
    MbizBadResponse,
    MbizTimeout,
    MbizUnavailable,
    SatkerAlreadyMapped,
    invalid_field,
)

router = v1_router("Operator")

Limit = Annotated[int, Query(ge=1, le=100, description="Most items on a page.")]
Cursor = Annotated[
    str | None, Query(max_length=cursors.MAX_CURSOR, description="`next_cursor` of the page before.")
]
Reason = Annotated[Name, Query(description="Kept in the history. Name no person in it.")]
Filter = Annotated[OpaqueId | None, Query(description="Only with this one.")]
MappingId = Annotated[str, Path(description="`id` of a mapping.")]


@router.get("/admin/mappings", operation_id="listMappings", summary="Mappings and who has access to them")
async def list_mappings(
    db: Db,
    klpd_code: Filter = None,
    satker_code: Annotated[OpaqueId | None, Query(description="A satker's code, or its kd_satker.")] = None,
    company_id: Filter = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> AdminMappingPageOut:
    """Every mapping that lives, in the order of the companies' ids."""
    after = _place(cursor, 1)
    async with db.reading() as reading:
        found = await store.mappings(
            reading,
            klpd_code=klpd_code,
            satker_code=satker_code,
            company_id=company_id,
            after=after[0] if after else "",
            limit=limit + 1,
        )
    items = found[:limit]
    more = cursors.write(items[-1].company.company_id) if len(found) > limit else None
    return AdminMappingPageOut(items=items, next_cursor=more)


@router.delete(
    "/admin/mappings/{mapping_id}",
    operation_id="endMappingForAll",
    summary="End a mapping and every access to it",
    status_code=204,
    responses=problems(LinkInProgress),
)
async def end_mapping_for_all(db: Db, pp: Pp, mapping_id: MappingId, reason: Reason) -> None:
    """Satker and company are free again. Nothing changes at mbizmarket."""
    await ending.end_mapping(db, mapping_id, Operator(pp.pp_id, reason))


@router.delete(
    "/admin/mappings/{mapping_id}/accesses/{pp_id:path}",
    operation_id="endAccess",
    summary="End one PP's access; with the last one the mapping",
    status_code=204,
)
async def end_access(
    db: Db,
    pp: Pp,
    mapping_id: MappingId,
    pp_id: Annotated[str, Path(description="`sub` of that PP's tokens.")],
    reason: Reason,
) -> None:
    """For a PP who has left, say. The others keep theirs."""
    await ending.end_access(db, mapping_id, pp_id, Operator(pp.pp_id, reason))


@router.post(
    "/admin/mappings/{mapping_id}/move",
    operation_id="moveMapping",
    summary="Tie the company to another satker; the accesses go along",
    responses=problems(LinkInProgress, SatkerAlreadyMapped),
)
async def move_mapping(db: Db, pp: Pp, mapping_id: MappingId, body: MoveIn) -> AdminMappingOut:
    """For a company that was linked to the wrong satker. Its PPs get the new satker in place of the old."""
    await moving.move(db, mapping_id, body.catalog_id, Operator(pp.pp_id, body.reason))
    async with db.reading() as reading:
        return await store.mapping(reading, mapping_id)


@router.get(
    "/admin/attempts", operation_id="listAttempts", summary="Registrations and mappings of every state"
)
async def list_attempts(
    context: Linking,
    state: Annotated[State | None, Query(description="Only in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = 20,
) -> AdminAttemptPageOut:
    """By state, then the oldest first. `uncertain` ones that are `overdue` want a look."""
    after = _attempt_place(cursor)
    async with context.database.reading() as reading:
        rows = await store.attempts(reading, state=state, after=after, limit=limit + 1)
    alert = context.settings.uncertain_alert_seconds
    more = cursors.write(*store.place(rows[limit - 1])) if len(rows) > limit else None
    return AdminAttemptPageOut(items=[store.shown(row, alert) for row in rows[:limit]], next_cursor=more)


@router.post(
    "/admin/attempts/{attempt_id}/resolve",
    operation_id="resolveAttempt",
    summary="Close a registration whose outcome could not be found out",
    responses=problems(
        AttemptClosed, LinkInProgress, CompanyAlreadyMapped, MbizBadResponse, MbizUnavailable, MbizTimeout
    ),
)
async def resolve_attempt(
    context: Linking,
    pp: Pp,
    call: Upstream,
    attempt_id: Annotated[str, Path(description="`id` of an attempt.")],
    body: ResolveIn,
) -> AdminAttemptOut:
    """When mbizmarket's people have said what became of it. A `company_id` is checked with mbizmarket first."""
    if body.outcome == "mapped" and body.company_id is None:
        raise invalid_field("company_id", "required")
    for field in ("company_id", "account_id"):
        if body.outcome == "refused" and getattr(body, field) is not None:
            raise invalid_field(field, "unknown_field")
    await resolving.resolve(context, call, attempt_id, body, Operator(pp.pp_id, body.reason))
    async with context.database.reading() as reading:
        row = await store.attempt(reading, attempt_id)
    return store.shown(row, context.settings.uncertain_alert_seconds)


def _place(cursor: str | None, length: int) -> list[str] | None:
    if cursor is None:
        return None
    try:
        return cursors.read(cursor, str, length)
    except cursors.BadCursor:
        raise invalid_field("cursor") from None


def _attempt_place(cursor: str | None) -> tuple[str, str, str] | None:
    place = _place(cursor, 3)
    if place is None:
        return None
    state, at, attempt_id = place
    try:
        if datetime.fromisoformat(at).utcoffset() != timedelta(0):  # as we write them
            raise ValueError
    except ValueError:
        raise invalid_field("cursor") from None
    return state, at, attempt_id
