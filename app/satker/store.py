"""The PP's own list of satkers. What changes it takes the PP's lock first, so that the list is judged as a whole."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Text, bindparam, delete, func, insert, or_, select, text, update

from app.aio import AsyncConnection
from app.catalog.text import escaped, words
from app.db import AnyRow, AnySelect, Tx
from app.held import Reader
from app.history import store as history
from app.mapping import ending
from app.models import CatalogSatker, Klpd, PpSatker
from app.problems import (
    CatalogSatkerNotFound,
    LinkInProgress,
    PrimarySatker,
    SatkerAlreadyAdded,
    SatkerHasMapping,
    SatkerLimitReached,
    SatkerNotFound,
)
from app.satker.view import STATUS, VIEW

MAX_SATKERS = 200

_ONE = VIEW.where(PpSatker.id == bindparam("id"), PpSatker.pp_id == bindparam("pp_id"))
_OWN = select(PpSatker.catalog_id).where(PpSatker.pp_id == bindparam("pp_id"))
_CATALOG = select(CatalogSatker.id).where(CatalogSatker.id == bindparam("id"), CatalogSatker.active)
_SORT: dict[str, ColumnElement[Any]] = {
    "updated_at": PpSatker.updated_at,
    "satker_name": CatalogSatker.name,
    "klpd_name": Klpd.name,
}


async def get(db: Tx, pp_id: str, satker_id: str) -> AnyRow:
    """The PP's satker with its mapping's state. Raises SatkerNotFound, for another PP's too."""
    return _found((await db.execute(_ONE, {"id": plain_id(satker_id), "pp_id": pp_id})).all())


async def read(reader: Reader, pp_id: str, satker_id: str) -> AnyRow:
    """The same outside of any transaction."""
    return _found(await reader.fetch(_ONE, {"id": plain_id(satker_id), "pp_id": pp_id}))


def _found(rows: Sequence[AnyRow]) -> AnyRow:
    if not rows:
        raise SatkerNotFound
    return rows[0]


def plain_id(value: str) -> str:
    """The id, or one that names nothing: PostgreSQL refuses text with a NUL in it."""
    return value if "\0" not in value else ""


async def page(
    reader: Reader,
    pp_id: str,
    *,
    q: str,
    is_primary: bool | None,
    status: str | None,
    sort: str,
    page: int,
    size: int,
) -> tuple[Sequence[AnyRow], int]:
    """One page of the PP's satkers, and how many there are on all pages."""
    terms = words(q)
    statement = _page(len(terms), is_primary, status, sort)
    values = {"pp_id": pp_id} | {f"term{n}": f"%{escaped(term)}%" for n, term in enumerate(terms)}
    rows = await reader.fetch(statement, values | {"size": size, "skip": (page - 1) * size})
    if rows or page == 1:
        return rows, rows[0].total if rows else 0
    first = await reader.fetch(statement, values | {"size": 1, "skip": 0})  # behind the last page
    return [], first[0].total if first else 0


@lru_cache(maxsize=256)
def _page(terms: int, is_primary: bool | None, status: str | None, sort: str) -> AnySelect:
    """Each row tells how many there are. Kept, since making a statement anew costs more than executing it."""
    wanted = VIEW.add_columns(func.count().over().label("total")).where(PpSatker.pp_id == bindparam("pp_id"))
    for n in range(terms):
        term = bindparam(f"term{n}", type_=Text)
        wanted = wanted.where(
            or_(CatalogSatker.search.like(term, escape="!"), Klpd.search.like(term, escape="!"))
        )
    if is_primary is not None:
        wanted = wanted.where(PpSatker.is_primary.is_(is_primary))
    if status is not None:
        wanted = wanted.where(STATUS == status)
    keys = _SORT[sort.removeprefix("-")], PpSatker.id
    ordered = wanted.order_by(*(key.desc() if sort.startswith("-") else key for key in keys))
    return ordered.limit(bindparam("size")).offset(bindparam("skip"))


async def add(tx: AsyncConnection, pp_id: str, catalog_id: str) -> AnyRow:
    """Puts a catalog satker on the list; the first becomes primary."""
    await lock_list(tx, pp_id)
    await _check_catalog(tx, catalog_id)
    own = (await tx.scalars(_OWN, {"pp_id": pp_id})).all()
    if catalog_id in own:
        raise SatkerAlreadyAdded
    if len(own) >= MAX_SATKERS:
        raise SatkerLimitReached
    return await insert_satker(tx, pp_id, catalog_id, is_primary=not own)


async def insert_satker(
    tx: AsyncConnection, pp_id: str, catalog_id: str, *, is_primary: bool, actor: history.Actor = "pp"
) -> AnyRow:
    """One more satker on a list that `tx` holds and that has no such satker."""
    now = datetime.now(UTC)
    satker_id = uuid4().hex
    await tx.execute(
        insert(PpSatker).values(
            id=satker_id,
            pp_id=pp_id,
            catalog_id=catalog_id,
            is_primary=is_primary,
            created_at=now,
            updated_at=now,
        )
    )
    row = await get(tx, pp_id, satker_id)
    await _record(tx, "satker_added", pp_id, row, actor)
    return row


async def change(tx: AsyncConnection, pp_id: str, row: AnyRow, catalog_id: str) -> None:
    """Puts another catalog satker in the place of this one; the same again only counts as a change in time."""
    await _check_catalog(tx, catalog_id)
    if catalog_id == row.catalog_id:
        await tx.execute(update(PpSatker).where(PpSatker.id == row.id).values(updated_at=datetime.now(UTC)))
        return
    if catalog_id in (await tx.scalars(_OWN, {"pp_id": pp_id})).all():
        raise SatkerAlreadyAdded
    _refuse_while_linked(row)
    await tx.execute(
        update(PpSatker)
        .where(PpSatker.id == row.id)
        .values(
            catalog_id=catalog_id, updated_at=datetime.now(UTC), last_failure_code=None, last_failure_at=None
        )
    )
    await _record(tx, "satker_changed", pp_id, await get(tx, pp_id, row.id))


async def make_primary(tx: AsyncConnection, pp_id: str, satker_id: str, actor: history.Actor = "pp") -> None:
    """Makes this satker the primary one in place of whichever was."""
    now = datetime.now(UTC)
    others = update(PpSatker).where(PpSatker.pp_id == pp_id, PpSatker.is_primary, PpSatker.id != satker_id)
    await tx.execute(others.values(is_primary=False, updated_at=now))
    await tx.execute(update(PpSatker).where(PpSatker.id == satker_id).values(is_primary=True, updated_at=now))
    await _record(tx, "made_primary", pp_id, await get(tx, pp_id, satker_id), actor)


async def remove(tx: AsyncConnection, pp_id: str, satker_id: str, *, unlink: bool) -> None:
    """Takes the satker off the list; with `unlink` its access to a mapping ends too."""
    row = await lock(tx, pp_id, satker_id)
    if row.status == "checking":
        raise LinkInProgress(retry_after=5)
    if row.is_primary and len((await tx.scalars(_OWN, {"pp_id": pp_id})).all()) > 1:
        raise PrimarySatker
    if row.status == "mapped" and not unlink:
        raise SatkerHasMapping
    await ending.end_access(tx, pp_id, row)
    await _record(tx, "satker_removed", pp_id, row)
    await tx.execute(delete(PpSatker).where(PpSatker.id == satker_id))


async def lock(tx: Tx, pp_id: str, satker_id: str) -> AnyRow:
    """The PP's list and this satker, held until the transaction ends. Raises SatkerNotFound."""
    await lock_list(tx, pp_id)
    return await lock_one(tx, pp_id, satker_id)


_LOCK = (
    select(PpSatker.id)
    .where(PpSatker.id == bindparam("id"), PpSatker.pp_id == bindparam("pp_id"))
    .with_for_update()
)


async def lock_one(tx: Tx, pp_id: str, satker_id: str) -> AnyRow:
    """This satker, held until the transaction ends, as it is once it is held. Raises SatkerNotFound."""
    await hold(tx, pp_id, satker_id)
    return await get(tx, pp_id, satker_id)


async def hold(tx: Tx, pp_id: str, satker_id: str) -> None:
    """Holds this satker until the transaction ends. What is read with it is true only if it is read afterwards."""
    await tx.execute(_LOCK, {"id": plain_id(satker_id), "pp_id": pp_id})


async def lock_list(tx: Tx, pp_id: str) -> None:
    """One change of a PP's list at a time. SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql":
        await tx.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:pp_id, 0))"), {"pp_id": pp_id})


async def _check_catalog(tx: AsyncConnection, catalog_id: str) -> None:
    if (await tx.execute(_CATALOG, {"id": catalog_id})).one_or_none() is None:
        raise CatalogSatkerNotFound


def _refuse_while_linked(row: AnyRow) -> None:
    if row.status == "checking":
        raise LinkInProgress(retry_after=5)
    if row.status == "mapped":
        raise SatkerHasMapping


async def _record(
    tx: AsyncConnection, event: history.Event, pp_id: str, row: AnyRow, actor: history.Actor = "pp"
) -> None:
    await tx.write(
        history.entry(
            event,
            at=datetime.now(UTC),
            actor=actor,
            pp_id=pp_id,
            satker_id=row.id,
            satker_name=row.satker_name,
        )
    )
