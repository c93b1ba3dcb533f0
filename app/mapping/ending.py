"""How an access ends, and with the last one the mapping: satker and company are free again."""

from datetime import UTC, datetime

from sqlalchemy import bindparam, delete, func, select, update

from app.db import AnyRow, Tx
from app.history import store as history
from app.models import Access, Attempt

_HOLD = (
    select(Attempt.id, Attempt.company_id, Attempt.company_name)
    .join(Access, Access.attempt_id == Attempt.id)
    .where(Access.satker_id == bindparam("satker_id"))
    .with_for_update(of=Attempt)
)
_REVOKE = delete(Access).where(Access.satker_id == bindparam("satker"))
_LEFT = select(func.count()).where(Access.attempt_id == bindparam("attempt_id"))
_END = (
    update(Attempt)
    .where(Attempt.id == bindparam("attempt"), Attempt.state == "mapped")
    .values(state="removed", ended_at=bindparam("now"))
)
_HOLDERS = (
    delete(Access).where(Access.attempt_id == bindparam("attempt")).returning(Access.pp_id, Access.satker_id)
)


async def end_access(tx: Tx, pp_id: str, row: AnyRow) -> None:
    """Ends the PP's access to its satker's mapping, if there is one. `row` is the satker's view, held by `tx`."""
    held = (await tx.execute(_HOLD, {"satker_id": row.id})).one_or_none()
    if held is None:
        return
    if not (await tx.execute(_REVOKE, {"satker": row.id})).rowcount:
        return  # while this waited for the mapping, a colleague replaced it and ended every access
    await _record(tx, "access_ended", pp_id, row, held)
    if not await tx.scalar(_LEFT, {"attempt_id": held.id}):
        await tx.execute(_END, {"attempt": held.id, "now": datetime.now(UTC)})
        await _record(tx, "unmapped", pp_id, row, held)


async def end_mapping(tx: Tx, pp_id: str, row: AnyRow, attempt_id: str) -> bool:
    """Ends a mapping with all its accesses because the PP replaces it. False if it is not mapped any more."""
    ended = await tx.execute(_END, {"attempt": attempt_id, "now": datetime.now(UTC)})
    if not ended.rowcount:
        return False
    held = (await tx.execute(select(Attempt).where(Attempt.id == attempt_id))).one()
    for holder in (await tx.execute(_HOLDERS, {"attempt": attempt_id})).all():
        await tx.write(
            history.entry(
                "access_ended",
                at=datetime.now(UTC),
                actor_pp_id=pp_id,
                pp_id=holder.pp_id,
                satker_id=holder.satker_id,
                satker_name=row.satker_name,
                attempt_id=attempt_id,
                company_id=held.company_id,
                company_name=held.company_name,
            )
        )
    await _record(tx, "unmapped", pp_id, row, held)
    return True


async def _record(tx: Tx, event: history.Event, pp_id: str, row: AnyRow, held: AnyRow) -> None:
    await tx.write(
        history.entry(
            event,
            at=datetime.now(UTC),
            pp_id=pp_id,
            satker_id=row.id,
            satker_name=row.satker_name,
            attempt_id=held.id,
            company_id=held.company_id,
            company_name=held.company_name,
        )
    )
