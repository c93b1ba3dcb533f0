"""Where a PP's satker stands: itself, its catalog satker's live attempt, and the PP's access, read at one moment."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    Text,
    any_,
    bindparam,
    false,
    null,
    select,
    true,
    union_all,
)

from app.db import AnyRow, AnySelect, Tx
from app.held import Reader
from app.models import Access, Attempt, PpSatker
from app.problems import SatkerNotFound
from app.satker import store as satkers
from app.satker.view import VIEW, word

LINK_RETRY = 5  # seconds until a client asks again about a registration that is being checked

_STANDING = VIEW.add_columns(
    Attempt.id.label("attempt_id"),
    Attempt.state,
    Attempt.pp_id.label("attempt_pp_id"),
    Attempt.satker_id.label("attempt_satker_id"),
    Attempt.via.label("attempt_via"),
    Attempt.email_digest,
    Attempt.sends,
    Attempt.lease_until,
    Access.account_id,
).where(PpSatker.id == bindparam("id"), PpSatker.pp_id == bindparam("pp_id"))


def _elsewhere(array: bool) -> CompoundSelect[str | None, bool]:
    """PostgreSQL takes an array as one parameter; with a list it is another statement for each length."""

    def among(column: ColumnElement[str | None], name: str) -> ColumnElement[bool]:
        if array:
            return column == any_(bindparam(name, type_=ARRAY(Text)))
        return column.in_(bindparam(name, expanding=True))

    other = Attempt.catalog_id != bindparam("catalog_id")
    taken = select(Attempt.company_id.label("taken"), false().label("registering")).where(
        other, Attempt.state == word("mapped"), among(Attempt.company_id, "company_ids")
    )
    is_open = Attempt.state.in_([word("calling"), word("uncertain")])
    registering = select(null(), true()).where(other, is_open, among(Attempt.email_digest, "digests"))
    return union_all(taken, registering)


def _amid(array: bool) -> AnySelect:
    """A standing, once for each thing that is elsewhere, and at least once."""
    elsewhere = _elsewhere(array).subquery("elsewhere")
    return _STANDING.outerjoin(elsewhere, true()).add_columns(elsewhere.c.taken, elsewhere.c.registering)


_BY_ARRAY, _BY_LIST = _elsewhere(True), _elsewhere(False)
_AMID_BY_ARRAY, _AMID_BY_LIST = _amid(True), _amid(False)


@dataclass(frozen=True, slots=True)
class Live:
    """The attempt that holds a satker: a registration that is open, or the mapping."""

    id: str
    state: str  # calling, uncertain (or left calling past its lease), mapped
    pp_id: str
    satker_id: str
    via: str
    email_digest: str | None
    sends: int
    company_id: str | None
    wait: int  # seconds until asking again makes sense

    @property
    def open(self) -> bool:
        return self.state != "mapped"


@dataclass(frozen=True, slots=True)
class Standing:
    """`row` has the columns of app/satker/view.py."""

    pp_id: str
    row: AnyRow
    live: Live | None
    has_access: bool
    account_id: str | None

    @property
    def own_open(self) -> Live | None:
        """The PP's own registration for this satker, while it is open."""
        own = self.live is not None and self.live.open and self.live.satker_id == self.row.id
        return self.live if own else None


class Elsewhere(NamedTuple):
    """Of the companies and addresses that were asked about, what belongs to other satkers."""

    taken: set[str]  # companies that are mapped
    registering: bool  # whether a registration of such an address is open


async def read(reader: Reader, pp_id: str, satker_id: str) -> Standing:
    """Raises SatkerNotFound."""
    return _standing(pp_id, await reader.fetch(_STANDING, _of(pp_id, satker_id)))


async def lock(tx: Tx, pp_id: str, satker_id: str) -> Standing:
    """The same with the PP's satker held until the transaction ends. Raises SatkerNotFound."""
    await satkers.hold(tx, pp_id, satker_id)
    return _standing(pp_id, (await tx.execute(_STANDING, _of(pp_id, satker_id))).all())


def _of(pp_id: str, satker_id: str) -> dict[str, str]:
    return {"id": satkers.plain_id(satker_id), "pp_id": pp_id}


def _standing(pp_id: str, rows: Sequence[AnyRow]) -> Standing:
    if not rows:
        raise SatkerNotFound
    row = rows[0]
    return Standing(pp_id, row, _live(row), row.via is not None, row.account_id)


async def elsewhere(
    db: Tx, catalog_id: str, *, companies: Iterable[str] = (), digests: Iterable[str] = ()
) -> Elsewhere:
    statement = _BY_ARRAY if db.dialect.name == "postgresql" else _BY_LIST
    return _found((await db.execute(statement, _asked(catalog_id, companies, digests))).all())


async def lock_amid(
    tx: Tx, before: Standing, *, companies: Iterable[str], digests: Iterable[str]
) -> tuple[Standing, Elsewhere]:
    """`lock` and `elsewhere` by one statement. Raises SatkerNotFound, too, if the PP's satker is another one now."""
    catalog_id = before.row.catalog_id
    await satkers.hold(tx, before.pp_id, before.row.id)
    statement = _AMID_BY_ARRAY if tx.dialect.name == "postgresql" else _AMID_BY_LIST
    values = _of(before.pp_id, before.row.id) | _asked(catalog_id, companies, digests)
    rows = (await tx.execute(statement, values)).all()
    standing = _standing(before.pp_id, rows)
    if standing.row.catalog_id != catalog_id:
        raise SatkerNotFound
    return standing, _found(rows)


def _asked(catalog_id: str, companies: Iterable[str], digests: Iterable[str]) -> dict[str, Any]:
    return {"catalog_id": catalog_id, "company_ids": [*companies], "digests": [*digests]}


def _found(rows: Sequence[AnyRow]) -> Elsewhere:
    taken = {row.taken for row in rows if row.taken is not None}
    return Elsewhere(taken, any(row.registering for row in rows))


def _live(row: AnyRow) -> Live | None:
    if row.attempt_id is None:
        return None
    left = (row.lease_until - datetime.now(UTC)).total_seconds() if row.state == "calling" else 0.0
    return Live(
        id=row.attempt_id,
        state="uncertain" if row.state == "calling" and left <= 0 else row.state,
        pp_id=row.attempt_pp_id,
        satker_id=row.attempt_satker_id,
        via=row.attempt_via,
        email_digest=row.email_digest,
        sends=row.sends,
        company_id=row.company_id,
        wait=max(LINK_RETRY, ceil(left)) if left > 0 else LINK_RETRY,
    )
