"""What the portal shows next when the PP has picked a satker."""

from app.auth import Pejabat
from app.mapping import settling, transitions
from app.mapping import standing as standings
from app.mapping.context import Context, problem_of
from app.mapping.schemas import (
    AccountOut,
    AskLogInOut,
    AskRegisteredOut,
    ConfirmAccountOut,
    EmailStatus,
    LogInReason,
    OfferedCompanyOut,
    OpenMbizmarketOut,
    WaitOut,
)
from app.mapping.settling import Open
from app.mapping.standing import Live, Standing
from app.mbiz import errors as mbiz
from app.mbiz.client import Call
from app.mbiz.contract import Account, Company
from app.satker.schemas import CompanyOut

Step = OpenMbizmarketOut | ConfirmAccountOut | AskRegisteredOut | AskLogInOut | WaitOut


async def enter(context: Context, pp: Pejabat, satker_id: str, call: Call, category: str | None) -> Step:
    """The next step for this satker. Raises the problem when mbizmarket cannot say, or the company is closed."""
    standing = await _settled(context, pp, satker_id, call)
    try:
        return await _next_step(context, pp, standing, call, category)
    except mbiz.MbizError as error:
        raise problem_of(error) from None


async def _settled(context: Context, pp: Pejabat, satker_id: str, call: Call) -> Standing:
    """The standing, after mbizmarket was asked about a registration whose outcome is not known."""
    standing = await standings.read(context.reader, pp.pp_id, satker_id)
    live = standing.live
    if live is None or live.state != "uncertain":
        return standing
    third = call.at_most(context.settings.mbiz_deadline_seconds / 3)
    await settling.ask(context, third, Open.of(live))
    return await standings.read(context.reader, pp.pp_id, satker_id)


async def _next_step(
    context: Context, pp: Pejabat, standing: Standing, call: Call, category: str | None
) -> Step:
    live = standing.live
    if live is None:
        return await _unmapped(context, pp, standing, call)
    if live.open:
        return WaitOut(next_step="wait", retry_after=live.wait)
    if standing.has_access:
        return await _mapped(context, pp, standing, live, call, category)
    return await _mapped_by_other(context, pp, live, call)


async def _unmapped(context: Context, pp: Pejabat, standing: Standing, call: Call) -> Step:
    if pp.email is None:
        return _ask_registered(context, None, "absent")
    if not pp.email_verified:
        return _ask_registered(context, pp.email, "unverified")
    account = await context.mbiz.find_account(call, pp.email)
    if account is None:
        return _ask_registered(context, pp.email, "free")
    free = await _free_companies(context, standing, account)
    return _confirm_account(account, free) if free else _ask_registered(context, None, "already_used")


async def _free_companies(context: Context, standing: Standing, account: Account) -> list[Company]:
    """Active companies of a verified account that serve no other satker."""
    active = [company for company in account.companies if company.active and account.email_verified]
    async with context.database.reading() as db:
        ids = [company.company_id for company in active]
        elsewhere = await standings.elsewhere(db, standing.row.catalog_id, companies=ids)
    return [company for company in active if company.company_id not in elsewhere.taken]


async def _mapped_by_other(context: Context, pp: Pejabat, live: Live, call: Call) -> Step:
    """Exactly the satker's company is offered, and only to whom mbizmarket knows as belonging to it."""
    account = await _own_account(context, pp, call)
    company = account and account.company(live.company_id or "")
    if account and company:
        return _confirm_account(account, [company])
    return _ask_log_in(context, "mapped_by_other")


async def _mapped(
    context: Context, pp: Pejabat, standing: Standing, live: Live, call: Call, category: str | None
) -> Step:
    company_id = live.company_id or ""
    account_id = standing.account_id or await _learn_account(context, pp, standing, live, call)
    if account_id is None:
        return _ask_log_in(context, "account_unknown")
    try:
        payload = _hand_off(pp, standing, category)
        session = await context.mbiz.open_session(call, account_id, company_id, payload)
    except (mbiz.NoSuchAccount, mbiz.AccountNotInCompany):
        return _ask_log_in(context, "access_lost")
    return OpenMbizmarketOut(
        next_step="open_mbizmarket",
        redirect_url=session.redirect_url,
        expires_at=session.expires_at,
        company=CompanyOut(company_id=company_id, name=standing.row.company_name),
    )


async def _learn_account(
    context: Context, pp: Pejabat, standing: Standing, live: Live, call: Call
) -> str | None:
    """An imported pair may not know its account: the PP's verified e-mail tells, if that account has the company."""
    account = await _own_account(context, pp, call)
    company = account and account.company(live.company_id or "")
    if not account or not company:
        return None
    async with context.database.begin() as tx:
        held = await standings.lock(tx, pp.pp_id, standing.row.id)
        kept = await transitions.keep(
            tx, held, attempt_id=live.id, company=company, account_id=account.account_id
        )
    return account.account_id if kept else None


async def _own_account(context: Context, pp: Pejabat, call: Call) -> Account | None:
    """The account of the PP's verified e-mail. One that mbizmarket calls unverified may be somebody else's trap."""
    if pp.verified_email is None:
        return None
    account = await context.mbiz.find_account(call, pp.verified_email)
    return account if account and account.email_verified else None


def _hand_off(pp: Pejabat, standing: Standing, category: str | None) -> dict[str, str]:
    """The portal's hand-off fields, those that are known."""
    row = standing.row
    fields = {
        "userName": pp.preferred_username,
        "realName": pp.name,
        "email": pp.email,
        "phone": pp.phone,
        "role": pp.role,
        "lpseId": pp.lpse_id,
        "idInstansi": row.klpd_code,
        "namaInstansi": row.klpd_name,
        "idSatker": row.kd_satker or row.satker_code,
        "namaSatker": row.satker_name,
        "category": category,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _confirm_account(account: Account, companies: list[Company]) -> ConfirmAccountOut:
    return ConfirmAccountOut(
        next_step="confirm_account",
        account=AccountOut(email=account.email, name=account.name),
        companies=[
            OfferedCompanyOut(company_id=company.company_id, name=company.name, city=company.address.city)
            for company in companies
        ],
    )


def _ask_registered(context: Context, email: str | None, status: EmailStatus) -> AskRegisteredOut:
    return AskRegisteredOut(
        next_step="ask_registered",
        suggested_email=email,
        email_status=status,
        forgot_password_url=context.settings.mbiz_forgot_password_url,
    )


def _ask_log_in(context: Context, reason: LogInReason) -> AskLogInOut:
    return AskLogInOut(
        next_step="log_in", reason=reason, forgot_password_url=context.settings.mbiz_forgot_password_url
    )
