"""The rules of linking, as functions of what is known: no database, no mbizmarket.

A judgement is one of the small classes below, or a Problem that is raised. What only mbizmarket can tell (whether the
company of an old mapping still counts) is asked for by raising CompanyUnknown and judged again with the answer.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from app.mapping.standing import Live, Standing
from app.mbiz.contract import Account, Company
from app.problems import (
    CompanyAlreadyMapped,
    CompanyChoiceRequired,
    CompanyInactive,
    CompanyNotFound,
    LinkInProgress,
    NoActiveCompany,
    SatkerAlreadyMapped,
)

Via = Literal["legacy", "confirm", "login", "register"]


class CompanyUnknown(Exception):
    """Whether this company is still active at mbizmarket has to be asked."""

    def __init__(self, company_id: str) -> None:
        super().__init__(company_id)
        self.company_id = company_id


@dataclass(frozen=True, slots=True)
class Proof:
    """An account that the person has proven, and the company that they asked for."""

    account: Account
    via: Via
    digests: frozenset[str]  # of the address as typed and as the account has it
    wanted: str | None
    finishing: str | None = None  # the attempt under way that this was proven for


@dataclass(frozen=True, slots=True)
class Map:
    """A new mapping; `ends` is the mapping that it replaces."""

    company: Company
    ends: Live | None = None


@dataclass(frozen=True, slots=True)
class Finish:
    """The open registration is what this account came from."""

    live: Live
    company: Company


@dataclass(frozen=True, slots=True)
class Grant:
    """Access to the mapping that another PP made."""

    live: Live
    company: Company


@dataclass(frozen=True, slots=True)
class Keep:
    """The same company is proven again."""

    live: Live
    company: Company


@dataclass(frozen=True, slots=True)
class Send:
    """A new registration; `ends` is the mapping that it replaces."""

    ends: Live | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """The same registration again, whose outcome is not known."""

    live: Live


@dataclass(frozen=True, slots=True)
class Wait:
    """The same registration again, while it is under way."""

    live: Live


@dataclass(frozen=True, slots=True)
class Done:
    """The same registration again, which succeeded."""


def may_prove(standing: Standing, digests: Collection[str]) -> None:
    """Before mbizmarket is asked. Raises LinkInProgress unless a proof as this address could be of use."""
    live = standing.live
    if live is None or not live.open:
        return
    if not (_same(standing, digests) and live.state == "uncertain"):
        raise LinkInProgress(retry_after=live.wait)


def judge_proof(
    standing: Standing, proof: Proof, taken: Collection[str], active: Mapping[str, bool]
) -> Map | Finish | Grant | Keep:
    """What a proven account means for a satker. `taken`: companies that serve others; `active`: what was asked."""
    live = standing.live
    if live is None:
        return Map(choose(proof, taken))
    if live.open:
        if live.id != proof.finishing:
            may_prove(standing, proof.digests)
        return Finish(live, choose(proof, taken))
    if not standing.has_access:
        return Grant(live, _join(proof, live))
    return _prove_again(live, proof, taken, active)


def choose(proof: Proof, taken: Collection[str]) -> Company:
    """The company to be mapped anew: the one that was asked for, else the only free active one."""
    if proof.wanted is not None:
        return _wanted(proof.account, proof.wanted, taken)
    candidates = [company for company in proof.account.companies if company.active]
    free = [company for company in candidates if company.company_id not in taken]
    if len(free) == 1:
        return free[0]
    if free:
        raise CompanyChoiceRequired(extra={"companies": [_shown(company) for company in free]})
    raise CompanyAlreadyMapped if candidates else NoActiveCompany


def judge_registration(
    standing: Standing, digests: Collection[str], *, open_elsewhere: bool, active: Mapping[str, bool]
) -> Send | Resume | Wait | Done:
    """What asking for a registration means for a satker."""
    live = standing.live
    if live is not None and live.open:
        if not _same(standing, digests):
            raise LinkInProgress(retry_after=live.wait)
        return Resume(live) if live.state == "uncertain" else Wait(live)
    if live is not None:
        if not standing.has_access:
            raise SatkerAlreadyMapped
        if live.via == "register" and _same(standing, digests):
            return Done()
        if _counts(live, active):
            raise SatkerAlreadyMapped
    if open_elsewhere:
        raise LinkInProgress(retry_after=5)
    return Send(ends=live)


def _same(standing: Standing, digests: Collection[str]) -> bool:
    """Whether the live attempt is this PP's own registration of the same address, also from before a re-adding."""
    live = standing.live
    return live is not None and live.pp_id == standing.pp_id and live.email_digest in digests


def _join(proof: Proof, live: Live) -> Company:
    company = proof.account.company(live.company_id or "")
    if proof.wanted is not None and proof.account.company(proof.wanted) is None:
        raise CompanyNotFound
    if company is None or proof.wanted not in (None, company.company_id):
        raise SatkerAlreadyMapped
    return company


def _prove_again(live: Live, proof: Proof, taken: Collection[str], active: Mapping[str, bool]) -> Keep | Map:
    if proof.wanted is not None and proof.account.company(proof.wanted) is None:
        raise CompanyNotFound
    held = proof.account.company(live.company_id or "")
    if held is not None and held.active and proof.wanted in (None, held.company_id):
        return Keep(live, held)
    if held.active if held is not None else _counts(live, active):
        raise SatkerAlreadyMapped
    return Map(choose(proof, taken), ends=live)


def _counts(live: Live, active: Mapping[str, bool]) -> bool:
    """Whether the company of a mapping is active at mbizmarket; one that is inactive or gone no longer counts."""
    company_id = live.company_id or ""
    if company_id not in active:
        raise CompanyUnknown(company_id)
    return active[company_id]


def _wanted(account: Account, company_id: str, taken: Collection[str]) -> Company:
    company = account.company(company_id)
    if company is None:
        raise CompanyNotFound
    if company_id in taken:
        raise CompanyAlreadyMapped
    if not company.active:
        raise CompanyInactive
    return company


def _shown(company: Company) -> dict[str, str]:
    return {"company_id": company.company_id, "name": company.name, "city": company.address.city}
