"""What operators look at: mappings with their accesses, and attempts in whichever state."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, literal, or_, select, tuple_

from app.admin.schemas import AdminAccessOut, AdminAttemptOut, AdminMappingOut, AdminSatkerOut
from app.aio import AsyncConnection
from app.db import AnyRow, AnySelect
from app.mapping.transitions import OPEN
from app.models import Access, Attempt, CatalogSatker, Klpd
from app.problems import NotFound
from app.satker.schemas import CompanyOut
from app.satker.store import plain_id

_ATTEMPTS = (
    select(
        *Attempt.__table__.columns,
        CatalogSatker.klpd_code,
        Klpd.name.label("klpd_name"),
        CatalogSatker.code,
        CatalogSatker.kd_satker,
        CatalogSatker.name,
    )
    .join(CatalogSatker, CatalogSatker.id == Attempt.catalog_id)
    .join(Klpd, Klpd.code == CatalogSatker.klpd_code)
)
# Written out, so that the database sees the predicate of the partial index that the pages go along.
_MAPPINGS = _ATTEMPTS.where(Attempt.state == literal("mapped", literal_execute=True))
_ACCESSES = (
    select(*Access.__table__.columns)
    .where(Access.attempt_id.in_(bindparam("ids", expanding=True)))
    .order_by(Access.granted_at, Access.satker_id)
)


async def mappings(
    db: AsyncConnection,
    *,
    klpd_code: str | None,
    satker_code: str | None,
    company_id: str | None,
    after: str,
    limit: int,
) -> list[AdminMappingOut]:
    """Those behind the company `after`, by company. `satker_code` is either code of a satker."""
    wanted = _MAPPINGS.where(Attempt.company_id > after, *_filters(klpd_code, satker_code, company_id))
    return await _with_accesses(db, wanted.order_by(Attempt.company_id).limit(limit))


async def mapping(db: AsyncConnection, attempt_id: str) -> AdminMappingOut:
    """Raises NotFound."""
    found = await _with_accesses(db, _MAPPINGS.where(Attempt.id == attempt_id))
    if not found:
        raise NotFound
    return found[0]


async def attempts(
    db: AsyncConnection, *, state: str | None, after: tuple[str, str, str] | None, limit: int
) -> Sequence[AnyRow]:
    """By state, then by age, the oldest first; `after` is a `place`."""
    wanted = _ATTEMPTS
    if state is not None:
        wanted = wanted.where(Attempt.state == state)
    if after is not None:
        last_state, at, last_id = after
        place = (
            literal(last_state),
            literal(datetime.fromisoformat(at), Attempt.created_at.type),
            literal(last_id),
        )
        wanted = wanted.where(tuple_(Attempt.state, Attempt.created_at, Attempt.id) > tuple_(*place))
    ordered = wanted.order_by(Attempt.state, Attempt.created_at, Attempt.id).limit(limit)
    return (await db.execute(ordered)).all()


def place(row: AnyRow) -> tuple[str, str, str]:
    return row.state, row.created_at.isoformat(), row.id


async def attempt(db: AsyncConnection, attempt_id: str) -> AnyRow:
    """Raises NotFound."""
    row = (await db.execute(_ATTEMPTS.where(Attempt.id == plain_id(attempt_id)))).one_or_none()
    if row is None:
        raise NotFound
    return row


def shown(row: AnyRow, alert_seconds: float) -> AdminAttemptOut:
    age = datetime.now(UTC) - row.created_at
    return AdminAttemptOut(
        id=row.id,
        state=row.state,
        overdue=row.state in OPEN and age > timedelta(seconds=alert_seconds),
        satker=_satker(row),
        pp_id=row.pp_id,
        satker_id=row.satker_id,
        via=row.via,
        company=_company(row) if row.company_id else None,
        account_id=row.account_id,
        failure=row.failure,
        sends=row.sends,
        created_at=row.created_at,
        ask_at=row.ask_at,
        mapped_at=row.mapped_at,
        ended_at=row.ended_at,
    )


def _filters(
    klpd_code: str | None, satker_code: str | None, company_id: str | None
) -> Iterable[ColumnElement[bool]]:
    if klpd_code is not None:
        yield CatalogSatker.klpd_code == klpd_code
    if satker_code is not None:
        yield or_(CatalogSatker.code == satker_code, CatalogSatker.kd_satker == satker_code)
    if company_id is not None:
        yield Attempt.company_id == company_id


async def _with_accesses(db: AsyncConnection, wanted: AnySelect) -> list[AdminMappingOut]:
    rows = (await db.execute(wanted)).all()
    accesses: dict[str, list[AdminAccessOut]] = {row.id: [] for row in rows}
    for access in await db.execute(_ACCESSES, {"ids": list(accesses)}):
        accesses[access.attempt_id].append(
            AdminAccessOut(
                pp_id=access.pp_id,
                satker_id=access.satker_id,
                account_id=access.account_id,
                via=access.via,
                granted_at=access.granted_at,
            )
        )
    return [
        AdminMappingOut(
            id=row.id,
            satker=_satker(row),
            company=_company(row),
            via=row.via,
            mapped_at=row.mapped_at,
            accesses=accesses[row.id],
        )
        for row in rows
    ]


def _satker(row: AnyRow) -> AdminSatkerOut:
    return AdminSatkerOut(
        catalog_id=row.catalog_id,
        klpd_code=row.klpd_code,
        klpd_name=row.klpd_name,
        code=row.code,
        kd_satker=row.kd_satker,
        name=row.name,
    )


def _company(row: AnyRow) -> CompanyOut:
    return CompanyOut(company_id=row.company_id, name=row.company_name or row.company_id)
