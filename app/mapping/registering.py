"""Registering: the one thing that changes mbizmarket, so the intent is committed before the call.

A registration is sent again only under its own reference, which cannot make a second account. Whatever is not known
to have failed is being checked, never failed.
"""

from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from app.db import Conflict
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
from app.problems import CompanyAlreadyMapped, EmailTaken, LinkInProgress, Problem, SatkerAlreadyMapped
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
        for _ in range(3):
            async with self.context.database.reading() as db:
                standing = await standings.read(db, self.pp_id, self.satker_id)
            try:
                outcome = await self._step(standing)
            except CompanyUnknown as unknown:
                await self._ask_company(unknown.company_id)
                continue
            except Conflict:  # somebody was faster: look again at what is there now
                continue
            except (LinkInProgress, SatkerAlreadyMapped) as problem:
                await record_refusal(self.context, standing, problem, "register")
                raise
            if outcome is not None:
                return outcome
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
        elsewhere = await standings.open_elsewhere(db, standing.row.catalog_id, digests)
        return states.judge_registration(standing, digests, open_elsewhere=elsewhere, active=self.active)

    async def _ask_company(self, company_id: str) -> None:
        try:
            company = await self.context.mbiz.get_company(self.call, company_id)
        except mbiz.MbizError as error:
            raise problem_of(error) from None
        self.active[company_id] = company is not None and company.active

    async def _send_first(self, standing: Standing) -> Outcome | None:
        digest = self.context.digests.of(self.form.email)
        throttle = self.context.throttle
        async with (
            throttle.registrations(self.pp_id) as sent,
            throttle.failures(digest, self.pp_id, self.address) as failed,
        ):
            opened = await self._write_intent(standing, digest)
            if opened is None:
                return None
            sent.count()
            self.context.crash("after_intent")
            return await self._send(opened, failed)

    async def _write_intent(self, before: Standing, digest: str) -> Open | None:
        """Commits the attempt before anything is sent; one constraint lets one through per satker and per e-mail."""
        async with self.context.database.begin() as tx:
            standing = await standings.lock(tx, self.pp_id, before.row.id)
            judgement = await self._judge(tx, standing)
            if not isinstance(judgement, Send):
                return None
            old = judgement.ends
            if old and not await ending.end_mapping(tx, self.pp_id, standing.row, old.id):
                return None
            reference = await transitions.insert_calling(
                tx, standing, digest=digest, lease_seconds=self.context.settings.lease_seconds
            )
        return Open(reference, self.pp_id, self.satker_id, digest, 1)

    async def _send(self, opened: Open, failed: Slot) -> Outcome:
        try:
            registration = await self.context.mbiz.register(self.call, opened.id, self.form)
        except mbiz.OutcomeUnknown:
            await settling.doubt(self.context, opened)
            return "checking"
        except (mbiz.NotSent, mbiz.Refused) as error:
            problem = problem_of(error)
            if isinstance(problem, EmailTaken):
                failed.count()
            await settling.refuse(self.context, opened, problem.code)
            raise problem from None
        return await self._conclude(opened, registration)

    async def _resume(self, standing: Standing, live: Live) -> Outcome | None:
        """An uncertain one: ask by reference, then send it again under its reference."""
        opened = Open.of(live)
        third = self.context.settings.mbiz_deadline_seconds / 3
        registration = await settling.evidence(self.context, self.call.at_most(third), opened)
        if registration is not None:
            return await self._conclude(opened, registration)
        digest = self.context.digests.of(self.form.email)
        async with self.context.throttle.failures(digest, self.pp_id, self.address) as failed:
            again = await settling.call_again(self.context, opened)
            return await self._send_again(standing, again, failed) if again else None

    async def _send_again(self, standing: Standing, opened: Open, failed: Slot) -> Outcome:
        """Whatever brings no Registration leaves the row uncertain: the first send may have arrived."""
        try:
            registration = await self.context.mbiz.register(self.call, opened.id, self.form)
        except mbiz.OutcomeUnknown:
            await settling.doubt(self.context, opened)
            return "checking"
        except (mbiz.NotSent, mbiz.Refused) as error:
            problem = problem_of(error)
            if isinstance(problem, EmailTaken):
                return await self._prove(standing, opened, failed)
            await settling.doubt(self.context, opened)
            raise problem from None
        return await self._conclude(opened, registration)

    async def _prove(self, standing: Standing, opened: Open, failed: Slot) -> Outcome:
        """The e-mail is taken, perhaps by our own earlier try: the typed password tells."""
        email = self.form.email
        try:
            account = await self.context.mbiz.log_in(self.call, email, self.form.password)
            proof = proof_of(self.context, account, email, "register", None, finishing=opened.id)
            return "made" if await apply_proof(self.context, standing, self.call, proof) else "there"
        except mbiz.InvalidCredentials:
            failed.count()
            await settling.doubt(self.context, opened)
            raise EmailTaken from None
        except mbiz.AccountLocked as error:
            await settling.doubt(self.context, opened)
            raise problem_of(error) from None
        except mbiz.MbizError:
            await settling.doubt(self.context, opened)
            return "checking"
        except Problem:
            await settling.doubt(self.context, opened)
            raise

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
