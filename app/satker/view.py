"""A PP's satker with the state of its mapping, in one statement: the join behind every answer about a satker."""

from typing import Any

from sqlalchemy import ColumnElement, and_, case, literal_column, select

from app.db import AnyRow
from app.models import Access, Attempt, CatalogSatker, Klpd, PpSatker
from app.satker.schemas import CompanyOut, MappingSummaryOut, SatkerOut
from app.tables import Str


def word(text: str) -> ColumnElement[str]:
    """Written out, for words of ours: the planner sees the predicate of the partial index, and nothing is bound."""
    return literal_column(f"'{text}'", Str)


# The only definition of `status`. Another PP's open registration shows as unmapped: there is no company yet.
STATUS: ColumnElement[str] = case(
    (and_(Attempt.state == word("mapped"), Access.satker_id.is_not(None)), word("mapped")),
    (Attempt.state == word("mapped"), word("mapped_by_other")),
    (Attempt.satker_id == PpSatker.id, word("checking")),
    else_=word("unmapped"),
)

IS_LIVE = Attempt.state.in_([word(state) for state in ("calling", "uncertain", "mapped")])

VIEW = (
    select(
        PpSatker.id,
        PpSatker.catalog_id,
        CatalogSatker.code.label("satker_code"),
        CatalogSatker.kd_satker,
        CatalogSatker.name.label("satker_name"),
        CatalogSatker.klpd_code,
        Klpd.name.label("klpd_name"),
        PpSatker.is_primary,
        PpSatker.created_at,
        PpSatker.updated_at,
        PpSatker.last_failure_code,
        PpSatker.last_failure_at,
        STATUS.label("status"),
        Attempt.company_id,
        Attempt.company_name,
        Access.via,
        Access.granted_at,
    )
    .select_from(PpSatker)
    .join(CatalogSatker, CatalogSatker.id == PpSatker.catalog_id)
    .join(Klpd, Klpd.code == CatalogSatker.klpd_code)
    .outerjoin(Attempt, and_(Attempt.catalog_id == PpSatker.catalog_id, IS_LIVE))
    .outerjoin(Access, and_(Access.satker_id == PpSatker.id, Access.attempt_id == Attempt.id))
)


def company(row: Any) -> CompanyOut | None:
    """The company, for those alone who have access to it, of any row with `status`, `company_id` and `company_name`."""
    if row.status != "mapped":
        return None
    return CompanyOut(company_id=row.company_id, name=row.company_name)


def satker(row: AnyRow) -> SatkerOut:
    return SatkerOut(
        id=row.id,
        catalog_id=row.catalog_id,
        satker_code=row.satker_code,
        satker_name=row.satker_name,
        klpd_code=row.klpd_code,
        klpd_name=row.klpd_name,
        is_primary=row.is_primary,
        created_at=row.created_at,
        updated_at=row.updated_at,
        mapping=MappingSummaryOut(status=row.status, company=company(row)),
    )
