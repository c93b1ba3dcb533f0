"""The rules of linking as tables: what is known, and what follows."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from app.db import AnyRow
from app.mapping.standing import Live, Standing
from app.mapping.states import (
    CompanyUnknown,
    Done,
    Finish,
    Grant,
    Keep,
    Map,
    Proof,
    Resume,
    Send,
    Wait,
    choose,
    judge_proof,
    judge_registration,
    may_prove,
)
from app.mbiz.contract import Account, Address, Company
from app.problems import (
    CompanyAlreadyMapped,
    CompanyChoiceRequired,
    CompanyInactive,
    CompanyNotFound,
    LinkInProgress,
    NoActiveCompany,
    Problem,
    SatkerAlreadyMapped,
)

ME, OTHER = "pp-1", "pp-2"
MINE, YOURS = "digest of my e-mail", "digest of another e-mail"


def company(company_id: str, status: str = "active") -> Company:
    address = Address(street="Jalan 1", city="Bandung", postal_code="40111")
    return Company(company_id=company_id, name=f"PT {company_id}", status=status, address=address)


A, B, CLOSED = company("A"), company("B"), company("X", "inactive")


def proof(*companies: Company, wanted: str | None = None, digest: str = MINE, **more: Any) -> Proof:
    account = Account(account_id="a-1", email="budi@lain.example", name="Budi", companies=companies)
    return Proof(account, "login", frozenset({digest}), wanted, **more)


def live(state: str, *, pp_id: str = ME, digest: str | None = MINE, **more: Any) -> Live:
    company_id = "A" if state == "mapped" else None
    values = {"via": "register", "sends": 1, "company_id": company_id, "wait": 7, **more}
    return Live(id="t-1", state=state, pp_id=pp_id, satker_id="s-1", email_digest=digest, **values)


def standing(of: Live | None = None, *, has_access: bool = False) -> Standing:
    return Standing(ME, cast(AnyRow, None), of, has_access, "a-1" if has_access else None)


MAPPED_MINE = standing(live("mapped"), has_access=True)
MAPPED_BY_OTHER = standing(live("mapped", pp_id=OTHER, digest=YOURS))


@pytest.mark.parametrize(
    ("where", "digest", "allowed"),
    [
        (standing(), MINE, True),
        (MAPPED_MINE, YOURS, True),
        (MAPPED_BY_OTHER, MINE, True),
        (standing(live("uncertain")), MINE, True),
        (standing(live("calling")), MINE, False),
        (standing(live("uncertain")), YOURS, False),
        (standing(live("uncertain", pp_id=OTHER)), MINE, False),
        (standing(live("calling", pp_id=OTHER)), MINE, False),
    ],
)
def test_asking_whether_a_proof_can_be_of_use(where: Standing, digest: str, allowed: bool) -> None:
    """Only one's own registration, of this very e-mail, and whose outcome is unknown, can be finished by a proof."""
    if allowed:
        may_prove(where, {digest})
        return
    with pytest.raises(LinkInProgress) as refused:
        may_prove(where, {digest})
    assert 7 == refused.value.retry_after


@pytest.mark.parametrize(
    ("proven", "taken", "outcome"),
    [
        (proof(A), set(), A),
        (proof(A, CLOSED), set(), A),
        (proof(A, B), {"A"}, B),
        (proof(A, B, wanted="B"), set(), B),
        (proof(A, B), set(), CompanyChoiceRequired),
        (proof(A, B), {"A", "B"}, CompanyAlreadyMapped),
        (proof(A, CLOSED), {"A"}, CompanyAlreadyMapped),
        (proof(), set(), NoActiveCompany),
        (proof(CLOSED), set(), NoActiveCompany),
        (proof(CLOSED), {"X"}, NoActiveCompany),
        (proof(A, wanted="B"), set(), CompanyNotFound),
        (proof(A, wanted="B"), {"B"}, CompanyNotFound),
        (proof(A, wanted="A"), {"A"}, CompanyAlreadyMapped),
        (proof(CLOSED, wanted="X"), set(), CompanyInactive),
        (proof(CLOSED, wanted="X"), {"X"}, CompanyAlreadyMapped),
    ],
)
def test_choosing_the_company_to_map(
    proven: Proof, taken: set[str], outcome: Company | type[Problem]
) -> None:
    """The one that was asked for, else the only free active one."""
    if isinstance(outcome, Company):
        assert outcome == choose(proven, taken)
        return
    with pytest.raises(outcome):
        choose(proven, taken)


def test_being_asked_to_choose() -> None:
    """The free active companies are named, with the city that tells two of one name apart; no others."""
    with pytest.raises(CompanyChoiceRequired) as asked:
        choose(proof(A, B, CLOSED, company("C")), {"C"})
    shown = [{"company_id": each, "name": f"PT {each}", "city": "Bandung"} for each in ("A", "B")]
    assert {"companies": shown} == asked.value.extra


@pytest.mark.parametrize(
    ("where", "proven", "active", "outcome"),
    [
        (standing(), proof(A), {}, Map(A)),
        # an open registration
        (standing(live("uncertain")), proof(A), {}, Finish(live("uncertain"), A)),
        (standing(live("uncertain")), proof(A, digest=YOURS), {}, LinkInProgress),
        (standing(live("calling")), proof(A), {}, LinkInProgress),
        (standing(live("calling")), proof(A, finishing="t-1"), {}, Finish(live("calling"), A)),
        (standing(live("calling")), proof(A, finishing="t-0"), {}, LinkInProgress),
        (standing(live("uncertain")), proof(A, B), {}, CompanyChoiceRequired),
        # somebody else's mapping
        (MAPPED_BY_OTHER, proof(A), {}, Grant(MAPPED_BY_OTHER.live, A)),
        (MAPPED_BY_OTHER, proof(A, B), {}, Grant(MAPPED_BY_OTHER.live, A)),
        (MAPPED_BY_OTHER, proof(A, B, wanted="A"), {}, Grant(MAPPED_BY_OTHER.live, A)),
        (
            MAPPED_BY_OTHER,
            proof(company("A", "inactive")),
            {},
            Grant(MAPPED_BY_OTHER.live, company("A", "inactive")),
        ),
        (MAPPED_BY_OTHER, proof(B), {}, SatkerAlreadyMapped),
        (MAPPED_BY_OTHER, proof(), {}, SatkerAlreadyMapped),
        (MAPPED_BY_OTHER, proof(A, B, wanted="B"), {}, SatkerAlreadyMapped),
        (MAPPED_BY_OTHER, proof(A, wanted="B"), {}, CompanyNotFound),
        # one's own mapping
        (MAPPED_MINE, proof(A), {}, Keep(MAPPED_MINE.live, A)),
        (MAPPED_MINE, proof(A, B), {}, Keep(MAPPED_MINE.live, A)),
        (MAPPED_MINE, proof(A, B, wanted="B"), {}, SatkerAlreadyMapped),
        (MAPPED_MINE, proof(A, wanted="B"), {}, CompanyNotFound),
        (MAPPED_MINE, proof(B), {}, CompanyUnknown),
        (MAPPED_MINE, proof(B), {"A": True}, SatkerAlreadyMapped),
        (MAPPED_MINE, proof(B), {"A": False}, Map(B, ends=MAPPED_MINE.live)),
        (MAPPED_MINE, proof(company("A", "inactive"), B), {}, Map(B, ends=MAPPED_MINE.live)),
        (MAPPED_MINE, proof(company("A", "inactive")), {}, NoActiveCompany),
        (MAPPED_MINE, proof(company("A", "inactive"), wanted="A"), {}, CompanyInactive),
        (MAPPED_MINE, proof(B, company("C")), {"A": False}, CompanyChoiceRequired),
    ],
)
def test_judging_a_proof(where: Standing, proven: Proof, active: Mapping[str, bool], outcome: object) -> None:
    """Every standing that a satker can have, and what an account then means."""
    if isinstance(outcome, type):
        with pytest.raises(outcome):
            judge_proof(where, proven, set(), active)
        return
    assert outcome == judge_proof(where, proven, set(), active)


@pytest.mark.parametrize(
    ("where", "digest", "elsewhere", "active", "outcome"),
    [
        (standing(), MINE, False, {}, Send()),
        (standing(), MINE, True, {}, LinkInProgress),
        (standing(live("calling")), MINE, False, {}, Wait(live("calling"))),
        (standing(live("uncertain")), MINE, False, {}, Resume(live("uncertain"))),
        (standing(live("calling")), YOURS, False, {}, LinkInProgress),
        (standing(live("uncertain")), YOURS, False, {}, LinkInProgress),
        (standing(live("calling", pp_id=OTHER)), MINE, False, {}, LinkInProgress),
        (standing(live("uncertain", pp_id=OTHER)), MINE, False, {}, LinkInProgress),
        (MAPPED_MINE, MINE, False, {}, Done()),
        (MAPPED_MINE, YOURS, False, {}, CompanyUnknown),
        (MAPPED_MINE, YOURS, False, {"A": True}, SatkerAlreadyMapped),
        (MAPPED_MINE, YOURS, False, {"A": False}, Send(ends=MAPPED_MINE.live)),
        (MAPPED_MINE, YOURS, True, {"A": False}, LinkInProgress),
        (
            standing(live("mapped", via="login", digest=None), has_access=True),
            MINE,
            False,
            {},
            CompanyUnknown,
        ),
        (
            standing(live("mapped", pp_id=OTHER), has_access=True),
            MINE,
            False,
            {"A": True},
            SatkerAlreadyMapped,
        ),
        (MAPPED_BY_OTHER, MINE, False, {}, SatkerAlreadyMapped),
        (MAPPED_BY_OTHER, YOURS, True, {}, SatkerAlreadyMapped),
        (standing(live("mapped")), MINE, False, {}, SatkerAlreadyMapped),  # registered, and then unlinked
    ],
)
def test_judging_a_registration(
    where: Standing, digest: str, elsewhere: bool, active: Mapping[str, bool], outcome: object
) -> None:
    """The same PP with the same e-mail is never an enemy; everybody else is refused before anything is sent."""
    if isinstance(outcome, type):
        with pytest.raises(outcome):
            judge_registration(where, {digest}, open_elsewhere=elsewhere, active=active)
        return
    assert outcome == judge_registration(where, {digest}, open_elsewhere=elsewhere, active=active)


def test_judging_with_the_digests_of_two_secrets() -> None:
    """While APP_SECRET rotates, a row with the digest of the old secret is still the same e-mail's."""
    where = standing(live("uncertain", digest="by the old secret"))
    assert Resume(cast(Live, where.live)) == judge_registration(
        where, {"by the new secret", "by the old secret"}, open_elsewhere=False, active={}
    )
