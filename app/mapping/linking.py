"""Logging in and confirming: prove first, then write the mapping or the access in one transaction.

Nothing changes at mbizmarket here, so no intent is needed: whatever is cut can be done again.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from app.auth import Pejabat
from app.db import Conflict, Tx
from app.history import store as history
from app.mapping import ending, states, transitions
from app.mapping import standing as standings
from app.mapping.context import Context, problem_of
from app.mapping.standing import Standing
from app.mapping.states import Finish, Grant, Keep, Map, Proof, Via
from app.mapping.transitions import Given
from app.mbiz import errors as mbiz
from app.mbiz.client import Call
from app.mbiz.contract import Account
from app.problems import (
    CompanyChoiceRequired,
    CompanyNotFound,
    EmailUnverified,
    LinkInProgress,
    Problem,
    SatkerNotFound,
)


async def log_in(
    context: Context,
    pp: Pejabat,
    satker_id: str,
    call: Call,
    *,
    email: str,
    password: str,
    company_id: str | None,
    address: str,
) -> Given | None:
    """Links the satker to a company of the account with this e-mail and password. None if it was linked so already."""

    async def prove() -> Account:
        async with context.throttle.failures(context.digests.in_any_case(email), pp.pp_id, address) as slot:
            try:
                return await context.mbiz.log_in(call, email, password)
            except mbiz.InvalidCredentials:
                slot.count()
                raise

    return await _link(context, pp, satker_id, call, "login", email, company_id, prove)


async def confirm(
    context: Context, pp: Pejabat, satker_id: str, call: Call, *, company_id: str
) -> Given | None:
    """Links the satker to this company of the account with the token's verified e-mail. None if it was already."""
    email = pp.verified_email

    async def prove() -> Account:
        if email is None:
            raise EmailUnverified
        account = await context.mbiz.find_account(call, email)
        if account is None or not account.email_verified:
            raise CompanyNotFound
        return account

    return await _link(context, pp, satker_id, call, "confirm", email, company_id, prove)


async def _link(
    context: Context,
    pp: Pejabat,
    satker_id: str,
    call: Call,
    via: Via,
    email: str | None,
    wanted: str | None,
    prove: Callable[[], Awaitable[Account]],
) -> Given | None:
    standing = await standings.read(context.reader, pp.pp_id, satker_id)
    try:
        if email is None:
            raise EmailUnverified
        states.may_prove(standing, context.digests.all_of(email))
        account = await prove()
        context.crash("after_upstream")
        return await apply_proof(context, standing, call, proof_of(context, account, email, via, wanted))
    except mbiz.MbizError as error:
        problem = problem_of(error)
        await record_refusal(context, standing, problem, via)
        raise problem from None
    except Problem as problem:
        await record_refusal(context, standing, problem, via)
        raise


def proof_of(
    context: Context, account: Account, email: str, via: Via, wanted: str | None, finishing: str | None = None
) -> Proof:
    digests = {digest for each in {email, account.email} for digest in context.digests.all_of(each)}
    return Proof(account, via, frozenset(digests), wanted, finishing)


async def apply_proof(context: Context, before: Standing, call: Call, proof: Proof) -> Given | None:
    """Judges the proof on what the database says now, and writes what follows: a link, if there was none.

    Judged anew when a constraint or a compare-and-set says that something changed in between.
    """
    active: dict[str, bool] = {}
    for _ in range(3):
        try:
            async with context.database.direct() as tx:
                given = await _judge_and_write(tx, before, proof, active)
                context.crash("before_commit")
            context.crash("after_commit")
            return given
        except states.CompanyUnknown as unknown:
            company = await context.mbiz.get_company(call, unknown.company_id)
            active[unknown.company_id] = company is not None and company.active
        except Conflict:
            continue
    raise LinkInProgress(retry_after=standings.LINK_RETRY)


async def _judge_and_write(tx: Tx, before: Standing, proof: Proof, active: dict[str, bool]) -> Given | None:
    """Raises Conflict, too, when the attempt changed between reading and writing it."""
    ids = [company.company_id for company in proof.account.companies]
    standing, elsewhere = await standings.lock_amid(tx, before, companies=ids, digests=proof.digests)
    if elsewhere.registering:
        raise LinkInProgress(retry_after=standings.LINK_RETRY)
    judgement = states.judge_proof(standing, proof, elsewhere.taken, active)
    return await _write(tx, standing, proof, judgement)


async def _write(
    tx: Tx, standing: Standing, proof: Proof, judgement: Map | Finish | Grant | Keep
) -> Given | None:
    account_id, company = proof.account.account_id, judgement.company
    match judgement:
        case Map(ends=old):
            if old and not await ending.end_mapping(tx, standing.pp_id, standing.row, old.id):
                raise Conflict("changed meanwhile")
            return await transitions.insert_mapped(
                tx, standing, via=proof.via, company=company, account_id=account_id
            )
        case Finish(live=live):
            given = await transitions.finish(
                tx, standing, attempt_id=live.id, company=company, account_id=account_id
            )
        case Grant(live=live):
            given = await transitions.grant(
                tx, standing, attempt_id=live.id, company=company, via=proof.via, account_id=account_id
            )
        case Keep(live=live):
            if not await transitions.keep(
                tx, standing, attempt_id=live.id, company=company, account_id=account_id
            ):
                raise Conflict("changed meanwhile")
            return None
    if given is None:
        raise Conflict("changed meanwhile")
    return given


async def record_refusal(context: Context, standing: Standing, problem: Problem, via: Via) -> None:
    """A refused try leaves a row; a question to the person, a throttled call or an outage leaves none."""
    if isinstance(problem, CompanyChoiceRequired | SatkerNotFound) or problem.status not in (
        403,
        404,
        409,
        422,
    ):
        return
    async with context.database.direct() as tx:
        await tx.write(
            history.entry(
                "registration" if via == "register" else "mapped",
                at=datetime.now(UTC),
                pp_id=standing.pp_id,
                satker_id=standing.row.id,
                satker_name=standing.row.satker_name,
                via=via,
                outcome=problem.code,
            )
        )
