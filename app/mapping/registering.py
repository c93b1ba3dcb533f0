"""Registering: the one thing that changes mbizmarket, so the intent is committed before the call.

A registration is sent again only under its own reference, which cannot make a second account. Whatever is not known
to have failed is being checked, never failed.
"""

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Literal

from app.aio import AsyncConnection
from app.db import Conflict, DatabaseBusy
from app.mapping import ending, settling, states, transitions
from app.mapping import standing as standings
from app.mapping.context import Context, problem_of
from app.mapping.linking import apply_proof, proof_of, record_refusal
from app.mapping.settling import Open
from app.mapping.standing import Live, Standing
from app.mapping.states import CompanyUnknown, Done, Resume, Send, Wait
from app.mbiz import errors as mbiz
from app.mbiz.client import Call
from app.mbiz.contract import NewRegistration, Registration
from app.problems import (
    CompanyAlreadyMapped,
    CompanyChoiceRequired,
    EmailTaken,
    LinkInProgress,
    NoActiveCompany,
    Problem,
    SatkerAlreadyMapped,
    SatkerNotFound,
)
from app.throttle import Slot

Outcome = Literal["made", "there", "checking"]


@dataclass(frozen=True, slots=True)
class Registering:
    """One request to register. `active` is what mbizmarket said meanwhile of the company of an old mapping."""

    context: Context
    call: Call
    form: NewRegistration
    pp_id: str
    satker_id: str
    address: str
    active: dict[str, bool] = field(default_factory=dict)

    async def run(self) -> Outcome:
        """The link was made by this call, was there already, or is being checked. Raises the problem otherwise."""
        first = standing = await standings.read(self.context.reader, self.pp_id, self.satker_id)
        for _ in range(3):
            try:
                outcome = await self._step(standing)
            except CompanyUnknown as unknown:
                await self._ask_company(unknown.company_id)
                outcome = None
            except Conflict:  # somebody was faster: look again at what is there now
                outcome = None
            except (LinkInProgress, SatkerAlreadyMapped) as problem:
                await record_refusal(self.context, standing, problem, "register")
                raise
            if outcome is not None:
                return outcome
            standing = await standings.read(self.context.reader, self.pp_id, self.satker_id)
            if standing.row.catalog_id != first.row.catalog_id:
                raise SatkerNotFound
        raise LinkInProgress(retry_after=standings.LINK_RETRY)

    async def _step(self, standing: Standing) -> Outcome | None:
        """None when the attempt changed in between."""
        async with self.context.database.reading() as db:
            judgement = await self._judge(db, standing)
        match judgement:
            case Wait():
                return "checking"
            case Done():
                return "there"
            case Resume(live=live):
                return await self._resume(standing, live)
            case Send():
                return await self._send_first(standing)

    async def _judge(self, db: AsyncConnection, standing: Standing) -> Send | Resume | Wait | Done:
        digests = self.context.digests.all_of(self.form.email)
        elsewhere = await standings.elsewhere(db, standing.row.catalog_id, digests=digests)
        return states.judge_registration(
            standing, digests, open_elsewhere=elsewhere.registering, active=self.active
        )

    async def _ask_company(self, company_id: str) -> None:
        try:
            company = await self.context.mbiz.get_company(self.call, company_id)
        except mbiz.MbizError as error:
            raise problem_of(error) from None
        self.active[company_id] = company is not None and company.active

    def _password_tried(self) -> AbstractAsyncContextManager[Slot]:
        digest = self.context.digests.in_any_case(self.form.email)
        return self.context.throttle.failures(digest, self.pp_id, self.address)

    async def _send_first(self, standing: Standing) -> Outcome | None:
        async with AsyncExitStack() as budgets:
            intent = await self._write_intent(standing, budgets)
            if intent is None:
                return None
            self.context.crash("after_intent")
            opened, sent, failed = intent
            return await _written(self._send(opened, sent, failed))

    async def _write_intent(
        self, before: Standing, budgets: AsyncExitStack
    ) -> tuple[Open, Slot, Slot] | None:
        """Commits the attempt before anything is sent; one constraint lets one through per satker and per e-mail.

        Only who gets through takes from the budgets: of a double click, one is a try. A spent budget undoes the intent.
        """
        digest = self.context.digests.of(self.form.email)
        async with self.context.database.begin() as tx:
            standing = await standings.lock(tx, self.pp_id, before.row.id)
            if standing.row.catalog_id != before.row.catalog_id:
                raise SatkerNotFound
            judgement = await self._judge(tx, standing)
            if not isinstance(judgement, Send):
                return None
            old = judgement.ends
            if old and not await ending.end_mapping(tx, self.pp_id, standing.row, old.id):
                return None
            reference = await transitions.insert_calling(
                tx, standing, digest=digest, lease_seconds=self.context.settings.lease_seconds
            )
            sent = await budgets.enter_async_context(self.context.throttle.registrations(self.pp_id))
            failed = await budgets.enter_async_context(self._password_tried())
        return Open(reference, self.pp_id, self.satker_id, digest, 1), sent, failed

    async def _send(self, opened: Open, sent: Slot, failed: Slot) -> Outcome:
        sent.count()
        try:
            registration = await self.context.mbiz.register(self.call, opened.id, self.form)
        except mbiz.OutcomeUnknown:
            await settling.doubt(self.context, opened)
            return "checking"
        except (mbiz.NotSent, mbiz.Refused) as error:
            problem = problem_of(error)
            if isinstance(problem, EmailTaken):
                failed.count()
            if isinstance(error, mbiz.NotSent):
                sent.give_back()
            await settling.refuse(self.context, opened, problem.code)
            raise problem from None
        return await self._conclude(opened, registration)

    async def _resume(self, standing: Standing, live: Live) -> Outcome | None:
        """An uncertain one: ask by reference, then send it again under its reference."""
        opened = Open.of(live)
        third = self.context.settings.mbiz_deadline_seconds / 3
        registration = await settling.evidence(self.context, self.call.at_most(third), opened)
        if registration is not None:
            return await _written(self._conclude(opened, registration))
        async with AsyncExitStack() as budgets:
            failed = await self._call_again(opened, budgets)
            if failed is None:
                return None
            again = replace(opened, sends=opened.sends + 1)
            return await _written(self._send_again(standing, again, failed))

    async def _call_again(self, opened: Open, budgets: AsyncExitStack) -> Slot | None:
        """Takes the uncertain attempt up; None when somebody else has. Only who takes it up uses the budget."""
        slots: list[Slot] = []

        async def calling(tx: AsyncConnection, standing: Standing) -> bool:
            lease = self.context.settings.lease_seconds
            taken = await transitions.call_again(
                tx, standing, attempt_id=opened.id, sends=opened.sends, lease_seconds=lease
            )
            if taken:
                slots.append(await budgets.enter_async_context(self._password_tried()))
            return taken

        return slots[0] if await settling.change(self.context, opened, calling) else None

    async def _send_again(self, standing: Standing, opened: Open, failed: Slot) -> Outcome:
        """Whatever brings no Registration leaves the row uncertain: the first send may have arrived."""
        try:
            try:
                registration = await self.context.mbiz.register(self.call, opened.id, self.form)
            except (mbiz.NotSent, mbiz.Refused) as error:
                problem = problem_of(error)
                if not isinstance(problem, EmailTaken):
                    raise problem from None
                return await self._prove(standing, opened, failed)
        except mbiz.MbizError:
            await settling.doubt(self.context, opened)
            return "checking"
        except Problem as problem:
            await settling.doubt(self.context, opened)
            if not isinstance(problem, LinkInProgress | SatkerAlreadyMapped):  # those are recorded by `run`
                await record_refusal(self.context, standing, problem, "register")
            raise
        return await self._conclude(opened, registration)

    async def _prove(self, standing: Standing, opened: Open, failed: Slot) -> Outcome:
        """The e-mail is taken, perhaps by our own earlier try: the typed password tells."""
        try:
            account = await self.context.mbiz.log_in(self.call, self.form.email, self.form.password)
            proof = proof_of(self.context, account, self.form.email, "register", None, finishing=opened.id)
            return "made" if await apply_proof(self.context, standing, self.call, proof) else "there"
        except mbiz.InvalidCredentials:
            failed.count()
            raise EmailTaken from None
        except mbiz.AccountLocked as error:
            raise problem_of(error) from None
        except (CompanyChoiceRequired, NoActiveCompany):  # not for this form to ask: logging in does
            raise EmailTaken from None

    async def _conclude(self, opened: Open, registration: Registration) -> Outcome:
        self.context.crash("after_upstream")
        match await settling.conclude(self.context, opened, registration, actor="pp"):
            case "made":
                return "made"
            case "there":
                return "there"
            case "conflict":
                raise CompanyAlreadyMapped
            case "orphan":  # freed meanwhile; the account is there, and its owner can log in with it
                raise EmailTaken


async def _written(outcome: Awaitable[Outcome]) -> Outcome:
    """What cannot be written in time is being checked, whatever mbizmarket said: the row stays open, and is settled."""
    try:
        return await outcome
    except DatabaseBusy:
        return "checking"
