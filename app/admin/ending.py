"""An operator ends a mapping, or one PP's access to it. The history has the reason and the operator."""

from sqlalchemy import bindparam, func, select

from app.aio import AsyncConnection
from app.db import Database
from app.history.store import Operator, acting
from app.mapping import ending
from app.mapping.standing import LINK_RETRY
from app.mapping.transitions import OPEN
from app.models import Access, Attempt, CatalogSatker
from app.problems import LinkInProgress, NotFound, SatkerNotFound
from app.satker import store as satkers

# The mapping with the PP under whose satker its end is told: whoever has had access for the longest.
_MAPPING = (
    select(
        Attempt.state,
        func.coalesce(Access.pp_id, Attempt.pp_id).label("pp_id"),
        func.coalesce(Access.satker_id, Attempt.satker_id).label("id"),
        CatalogSatker.name.label("satker_name"),
    )
    .join(CatalogSatker, CatalogSatker.id == Attempt.catalog_id)
    .outerjoin(Access, Access.attempt_id == Attempt.id)
    .where(Attempt.id == bindparam("attempt"))
    .order_by(Access.granted_at)
    .limit(1)
)
_SATKER = select(Access.satker_id).where(
    Access.attempt_id == bindparam("attempt"), Access.pp_id == bindparam("pp_id")
)


async def end_mapping(database: Database, attempt_id: str, operator: Operator) -> None:
    """All its accesses end, satker and company are free. Raises NotFound, LinkInProgress (it is no mapping yet)."""
    with acting(operator):
        async with database.begin() as tx:
            row = (await tx.execute(_MAPPING, {"attempt": satkers.plain_id(attempt_id)})).one_or_none()
            if row is not None and row.state in OPEN:
                raise LinkInProgress(retry_after=LINK_RETRY)
            if row is None or not await ending.end_mapping(tx, row.pp_id, row, attempt_id):
                raise NotFound


async def end_access(database: Database, attempt_id: str, pp_id: str, operator: Operator) -> None:
    """The PP's access ends; with the last one the mapping. Raises NotFound."""
    with acting(operator):
        async with database.begin() as tx:
            await _end_access(tx, {"attempt": satkers.plain_id(attempt_id), "pp_id": satkers.plain_id(pp_id)})


async def _end_access(tx: AsyncConnection, access: dict[str, str]) -> None:
    satker_id = await tx.scalar(_SATKER, access)
    if satker_id is None:
        raise NotFound
    try:
        row = await satkers.lock_one(tx, access["pp_id"], satker_id)
    except SatkerNotFound:
        raise NotFound from None
    if satker_id != await tx.scalar(_SATKER, access):  # it ended, or moved, while this waited
        raise NotFound
    await ending.end_access(tx, access["pp_id"], row)
