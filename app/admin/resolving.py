"""An operator closes a registration whose outcome could not be found out: the last resort of settling."""

from datetime import UTC, datetime

from sqlalchemy import bindparam, update

from app.admin import store
from app.admin.schemas import ResolveIn
from app.aio import AsyncConnection
from app.db import Conflict
from app.history import store as history
from app.mapping import settling, transitions
from app.mapping.context import Context, problem_of
from app.mapping.settling import NEVER_ARRIVED, ORPHAN_EVERY, Open
from app.mapping.standing import LINK_RETRY, Live, Standing
from app.mbiz import errors as mbiz
from app.mbiz.client import Call
from app.mbiz.contract import Company
from app.models import Attempt, PpSatker
from app.problems import (
    AttemptClosed,
    CompanyAlreadyMapped,
    EmailTaken,
    LinkInProgress,
    invalid_field,
)

_ORPHAN = update(Attempt).where(
    Attempt.id == bindparam("attempt"), Attempt.state == "uncertain", Attempt.sends == bindparam("sent")
)


async def resolve(
    context: Context, call: Call, attempt_id: str, wanted: ResolveIn, operator: history.Operator
) -> None:
    """Closes an uncertain registration as the operator knows it to have ended.

    `mapped` ties the satker to the company, and the PP gets access. `refused` frees the satker; settling asks for
    another day, and reports what turns up. `orphan` frees it too: mbizmarket has an account that is tied to nothing.

    Raises NotFound, AttemptClosed, LinkInProgress (it is under way), CompanyAlreadyMapped, and a fault of
    `company_id` where mbizmarket knows no such company.
    """
    async with context.database.reading() as db:
        row = await store.attempt(db, attempt_id)
    if row.state not in transitions.OPEN:
        raise AttemptClosed
    company = await _company(context, call, wanted.company_id)
    opened = Open(row.id, row.pp_id, row.satker_id, row.email_digest, row.sends)

    async def close(tx: AsyncConnection, standing: Standing) -> bool:
        return await _close(tx, standing, _uncertain(standing, attempt_id), wanted, company)

    try:
        with history.acting(operator):
            closed = await settling.change(context, opened, close)
    except Conflict:
        raise CompanyAlreadyMapped from None
    if not closed:
        raise AttemptClosed


async def _company(context: Context, call: Call, company_id: str | None) -> Company | None:
    """The company as mbizmarket has it, so that no slip of the pen becomes a mapping."""
    if company_id is None:
        return None
    try:
        company = await context.mbiz.get_company(call, company_id)
    except mbiz.MbizError as error:
        raise problem_of(error) from None
    if company is None:
        raise invalid_field("company_id")
    return company


def _uncertain(standing: Standing, attempt_id: str) -> Live:
    live = standing.live
    if live is None or live.id != attempt_id or not live.open:
        raise AttemptClosed
    if live.state == "calling":
        raise LinkInProgress(retry_after=live.wait or LINK_RETRY)
    return live


async def _close(
    tx: AsyncConnection, standing: Standing, live: Live, wanted: ResolveIn, company: Company | None
) -> bool:
    # One that was left under way past its lease becomes uncertain first, in the table and in the history.
    await transitions.doubt(tx, standing, attempt_id=live.id, sends=live.sends, ask_at=None, actor="operator")
    if wanted.outcome == "mapped" and company:
        made = await transitions.finish(
            tx, standing, attempt_id=live.id, company=company, account_id=wanted.account_id
        )
        return made is not None
    if wanted.outcome == "orphan":
        return await _report_orphan(tx, standing, live, wanted.account_id, company)
    return await transitions.refuse(
        tx,
        standing,
        attempt_id=live.id,
        sends=live.sends,
        failure=NEVER_ARRIVED,
        ask_again_at=datetime.now(UTC) + ORPHAN_EVERY,
    )


async def _report_orphan(
    tx: AsyncConnection, standing: Standing, live: Live, account_id: str | None, company: Company | None
) -> bool:
    """uncertain → orphan. What the PP can do is what `email_taken` says: log in with that account."""
    now, code = datetime.now(UTC), EmailTaken.code
    company_id, company_name = (company.company_id, company.name) if company else (None, None)
    orphan = _ORPHAN.values(
        state="orphan",
        failure=code,
        company_id=company_id,
        company_name=company_name,
        account_id=account_id,
        ask_at=None,
        ended_at=now,
    )
    closed = await tx.execute(orphan, {"attempt": live.id, "sent": live.sends})
    if not closed.rowcount:
        return False
    await tx.execute(
        update(PpSatker)
        .where(PpSatker.id == standing.row.id)
        .values(last_failure_code=code, last_failure_at=now)
    )
    await tx.write(
        history.entry(
            "registration",
            at=now,
            pp_id=standing.pp_id,
            satker_id=standing.row.id,
            satker_name=standing.row.satker_name,
            attempt_id=live.id,
            company_id=company_id,
            company_name=company_name,
            via="register",
            outcome="orphan",
        )
    )
    return True
