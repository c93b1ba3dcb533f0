"""Where a PP's satker stands: itself, its catalog satker's live attempt, and the PP's access, read at one moment."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

from sqlalchemy import bindparam, select

from app.aio import AsyncConnection
from app.db import AnyRow
from app.models import Access, Attempt, PpSatker
from app.problems import SatkerNotFound
from app.satker import store as satkers
from app.satker.view import VIEW

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

_MAPPED_ELSEWHERE = select(Attempt.company_id).where(
    Attempt.state == "mapped",
    Attempt.catalog_id != bindparam("catalog_id"),
    Attempt.company_id.in_(bindparam("company_ids", expanding=True)),
)
_OPEN_ELSEWHERE = select(Attempt.id).where(
    Attempt.state.in_(("calling", "uncertain")),
    Attempt.catalog_id != bindparam("catalog_id"),
    Attempt.email_digest.in_(bindparam("digests", expanding=True)),
)


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


async def read(db: AsyncConnection, pp_id: str, satker_id: str) -> Standing:
    """Raises SatkerNotFound."""
    found = await db.execute(_STANDING, {"id": satkers.plain_id(satker_id), "pp_id": pp_id})
    row = found.one_or_none()
    if row is None:
        raise SatkerNotFound
    return Standing(pp_id, row, _live(row), row.via is not None, row.account_id)


async def lock(tx: AsyncConnection, pp_id: str, satker_id: str) -> Standing:
    """The same with the PP's satker held until the transaction ends. Raises SatkerNotFound."""
    await satkers.hold(tx, pp_id, satker_id)
    return await read(tx, pp_id, satker_id)


async def mapped_elsewhere(db: AsyncConnection, catalog_id: str, company_ids: Collection[str]) -> set[str]:
    """Which of the companies serve another satker."""
    found = await db.scalars(_MAPPED_ELSEWHERE, {"catalog_id": catalog_id, "company_ids": list(company_ids)})
    return {company_id for company_id in found if company_id}


async def open_elsewhere(db: AsyncConnection, catalog_id: str, digests: Collection[str]) -> bool:
    """Whether a registration of this e-mail is open for another satker."""
    found = await db.execute(_OPEN_ELSEWHERE, {"catalog_id": catalog_id, "digests": list(digests)})
    return found.first() is not None


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
