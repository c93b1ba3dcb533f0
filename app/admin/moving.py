"""An operator moves a mapping to another satker, for a company that was tied to the wrong one.

The accesses go along: every PP who has one gets the new satker in place of the old. A PP who has the new one already
keeps that, and the old one goes.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import and_, bindparam, delete, select, update

from app.aio import AsyncConnection
from app.db import AnyRow, Conflict, Database
from app.history import store as history
from app.mapping.standing import LINK_RETRY
from app.mapping.transitions import OPEN
from app.models import Access, Attempt, CatalogSatker, PpSatker
from app.problems import LinkInProgress, NotFound, Problem, SatkerAlreadyMapped
from app.satker import store as satkers

TRIES = 3  # when PPs join or leave at the same moment

_old, _new = PpSatker.__table__.alias(), PpSatker.__table__.alias()
_HOLDERS = (
    select(Access.pp_id, Access.satker_id, _old.c.is_primary, _new.c.id.label("new_id"))
    .join(_old, _old.c.id == Access.satker_id)
    .outerjoin(_new, and_(_new.c.pp_id == Access.pp_id, _new.c.catalog_id == bindparam("catalog_id")))
    .where(Access.attempt_id == bindparam("attempt"))
    .order_by(Access.pp_id)
)
_LOCK = (
    select(PpSatker.id)
    .where(PpSatker.id.in_(bindparam("ids", expanding=True)))
    .order_by(PpSatker.id)
    .with_for_update()
)
_MAPPING = (
    select(*Attempt.__table__.columns, CatalogSatker.name.label("satker_name"))
    .join(CatalogSatker, CatalogSatker.id == Attempt.catalog_id)
    .where(Attempt.id == bindparam("attempt"))
)
_TARGET = select(CatalogSatker.id, CatalogSatker.name).where(
    CatalogSatker.id == bindparam("catalog_id"), CatalogSatker.active
)
_LIVE = select(Attempt.state).where(
    Attempt.catalog_id == bindparam("catalog_id"), Attempt.state.in_((*OPEN, "mapped"))
)


class _Changed(Exception):
    """Somebody joined or left in between: look again."""


async def move(database: Database, attempt_id: str, catalog_id: str, operator: history.Operator) -> None:
    """Moving to where it is changes nothing.

    Raises NotFound (no such mapping, or no such satker in the catalog), SatkerAlreadyMapped and LinkInProgress (of
    the satker it is to move to, or it is no mapping yet).
    """
    for _ in range(TRIES):
        try:
            with history.acting(operator):
                async with database.begin() as tx:
                    await _move(tx, attempt_id, catalog_id)
        except Conflict:
            raise await _why_not(database, catalog_id) from None
        except _Changed:
            continue
        return
    raise LinkInProgress(retry_after=LINK_RETRY)


async def _move(tx: AsyncConnection, attempt_id: str, catalog_id: str) -> None:
    mapping = (await tx.execute(_MAPPING, {"attempt": satkers.plain_id(attempt_id)})).one_or_none()
    if mapping is not None and mapping.state in OPEN:
        raise LinkInProgress(retry_after=LINK_RETRY)
    target = (await tx.execute(_TARGET, {"catalog_id": catalog_id})).one_or_none()
    if mapping is None or mapping.state != "mapped" or target is None:
        raise NotFound
    if mapping.catalog_id == target.id:
        return
    holders = await _lock_holders(tx, attempt_id, catalog_id)
    moved = await tx.execute(
        update(Attempt)
        .where(Attempt.id == attempt_id, Attempt.state == "mapped", Attempt.catalog_id == mapping.catalog_id)
        .values(catalog_id=target.id)
    )
    # From here on nobody joins or leaves: both hold the mapping first.
    if not moved.rowcount or holders != await _holders(tx, attempt_id, catalog_id):
        raise _Changed
    for holder in holders:
        await _take_along(tx, mapping, holder, target)


async def _lock_holders(tx: AsyncConnection, attempt_id: str, catalog_id: str) -> Sequence[AnyRow]:
    """Everyone's list and satkers, in the one order that all who lock several keep to."""
    holders = await _holders(tx, attempt_id, catalog_id)
    for holder in holders:
        await satkers.lock_list(tx, holder.pp_id)
    ids = [row_id for holder in holders for row_id in (holder.satker_id, holder.new_id) if row_id]
    await tx.execute(_LOCK, {"ids": ids})
    return holders


async def _holders(tx: AsyncConnection, attempt_id: str, catalog_id: str) -> Sequence[AnyRow]:
    return (await tx.execute(_HOLDERS, {"attempt": attempt_id, "catalog_id": catalog_id})).all()


async def _take_along(tx: AsyncConnection, mapping: AnyRow, holder: AnyRow, target: AnyRow) -> None:
    kept = holder.new_id or holder.satker_id
    fresh = {
        "updated_at": datetime.now(UTC),
        "last_failure_code": None,
        "last_failure_at": None,
        "catalog_id": target.id,
    }
    if holder.new_id:
        await _drop_old(tx, mapping, holder)
        fresh |= {"is_primary": True} if holder.is_primary else {}
    await tx.execute(update(PpSatker).where(PpSatker.id == kept).values(**fresh))
    await _record(tx, "moved", mapping, holder.pp_id, kept, target.name)
    if holder.new_id and holder.is_primary:
        await _record(tx, "made_primary", mapping, holder.pp_id, kept, target.name)


async def _drop_old(tx: AsyncConnection, mapping: AnyRow, holder: AnyRow) -> None:
    old = holder.satker_id
    await tx.execute(update(Access).where(Access.satker_id == old).values(satker_id=holder.new_id))
    await tx.execute(
        update(Attempt)
        .where(Attempt.id == mapping.id, Attempt.satker_id == old)
        .values(satker_id=holder.new_id)
    )
    await tx.execute(delete(PpSatker).where(PpSatker.id == old))
    await _record(tx, "satker_removed", mapping, holder.pp_id, old, mapping.satker_name)


async def _record(
    tx: AsyncConnection, event: history.Event, mapping: AnyRow, pp_id: str, satker_id: str, name: str
) -> None:
    of_mapping = event == "moved"
    await tx.write(
        history.entry(
            event,
            at=datetime.now(UTC),
            pp_id=pp_id,
            satker_id=satker_id,
            satker_name=name,
            attempt_id=mapping.id if of_mapping else None,
            company_id=mapping.company_id if of_mapping else None,
            company_name=mapping.company_name if of_mapping else None,
        )
    )


async def _why_not(database: Database, catalog_id: str) -> Problem:
    """The satker had a live attempt a moment ago, says the constraint: which kind?"""
    async with database.reading() as db:
        state = await db.scalar(_LIVE, {"catalog_id": catalog_id})
    return SatkerAlreadyMapped() if state == "mapped" else LinkInProgress(retry_after=LINK_RETRY)
