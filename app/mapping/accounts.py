"""Does the PP's own e-mail have an mbizmarket account? Answered for the caller's own verified address alone."""

from sqlalchemy import bindparam, select

from app.auth import Pejabat
from app.emails import canonical
from app.mapping.context import Context, problem_of
from app.mapping.schemas import MbizAccountOut, MbizCompanyOut
from app.mbiz import errors as mbiz
from app.mbiz.client import Call
from app.mbiz.contract import Account, Company
from app.models import Attempt, PpSatker
from app.problems import EmailNotYours, EmailUnverified

_MAPPED_TO = (
    select(Attempt.company_id, PpSatker.id)
    .outerjoin(PpSatker, (PpSatker.catalog_id == Attempt.catalog_id) & (PpSatker.pp_id == bindparam("pp_id")))
    .where(Attempt.state == "mapped", Attempt.company_id.in_(bindparam("company_ids", expanding=True)))
)


async def mbiz_account(context: Context, pp: Pejabat, call: Call, email: str | None) -> MbizAccountOut:
    """Raises EmailUnverified and EmailNotYours."""
    own = pp.verified_email
    if own is None:
        raise EmailUnverified
    if email is not None and canonical(email) != canonical(own):
        raise EmailNotYours
    try:
        account = await context.mbiz.find_account(call, own)
    except mbiz.MbizError as error:
        raise problem_of(error) from None
    if account is None:
        return MbizAccountOut(email=own, has_account=False, status="none", companies=[])
    return await _described(context, pp, own, account)


async def _described(context: Context, pp: Pejabat, email: str, account: Account) -> MbizAccountOut:
    """An account that mbizmarket calls unverified exists, but nothing of it is offered."""
    active = [company for company in account.companies if company.active and account.email_verified]
    companies = await _with_mappings(context, pp, active)
    if not companies:
        return MbizAccountOut(email=email, has_account=True, status="no_active_company", companies=[])
    free = any(not company.mapped for company in companies)
    return MbizAccountOut(
        email=email,
        has_account=True,
        status="available" if free else "already_mapped",
        companies=companies,
    )


async def _with_mappings(context: Context, pp: Pejabat, companies: list[Company]) -> list[MbizCompanyOut]:
    ids = [company.company_id for company in companies]
    async with context.database.reading() as db:
        found = (await db.execute(_MAPPED_TO, {"pp_id": pp.pp_id, "company_ids": ids})).all()
    mapped_to = {row.company_id: row.id for row in found}
    return [
        MbizCompanyOut(
            company_id=company.company_id,
            name=company.name,
            city=company.address.city,
            mapped=company.company_id in mapped_to,
            mapped_to_satker_id=mapped_to.get(company.company_id),
        )
        for company in companies
    ]
