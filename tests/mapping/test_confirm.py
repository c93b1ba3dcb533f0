"""POST …/mapping/confirm: the token's verified e-mail is proof enough for its own mbizmarket account."""

import asyncio
from pathlib import Path

import pytest

from tests.mapping.people import attempts, close_company, join_company, on_sqlite, person, said, told
from tests.mapping.wires import held, serving
from tests.service import Service

pytestmark = [pytest.mark.anyio, on_sqlite]

MAPPED, AGAIN = (201, "mapped"), (200, "mapped")


async def own_account(service: Service, *companies: str, number: int = 1, **more: object) -> list[str]:
    """The ids of the companies of a new account with PP `number`'s e-mail."""
    account = await service.make_account(f"pp{number}@satker.example", *companies, **more)
    return [company["company_id"] for company in account["companies"]]


async def test_confirming(service: Service) -> None:
    """The company that was shown is mapped; confirming it again changes nothing."""
    ids = await own_account(service, "PT A", "PT B")
    who = await person(service)
    answer = await who.confirm(ids[1])
    assert (MAPPED, "confirm", "PT B") == (
        said(answer),
        answer.json()["via"],
        answer.json()["company"]["name"],
    )
    again = await who.confirm(ids[1])
    assert (AGAIN, answer.json()) == (said(again), again.json())
    assert (409, "satker_already_mapped") == said(await who.confirm(ids[0]))
    assert [("mapped", "ok"), ("mapped", "satker_already_mapped")] == await told(service.database)


@pytest.mark.parametrize(
    "claims",
    [{"email_verified": False}, {"email_verified": None}, {"email_verified": "true"}, {"email": None}],
)
async def test_confirming_without_a_verified_email(service: Service, claims: dict[str, object]) -> None:
    """Only the JSON value true vouches for an address; mbizmarket is not asked."""
    ids = await own_account(service, "PT A")
    who = await person(service, **claims)
    assert (403, "email_unverified") == said(await who.confirm(ids[0]))
    assert 0 == (await service.truth())["requests"]["search"]
    assert [("mapped", "email_unverified")] == await told(service.database)


async def test_confirming_a_company_of_somebody_else(service: Service) -> None:
    """A made up id, another account's company, and an e-mail without an account answer alike."""
    foreign = await service.make_account("orang@lain.example", "PT Lain")
    await own_account(service, "PT A")
    answers = [
        await (await person(service)).confirm(foreign["companies"][0]["company_id"]),
        await (await person(service, 1, 1)).confirm("C-tidak-ada"),
        await (await person(service, 2)).confirm("C-tidak-ada"),
    ]
    assert [(404, "company_not_found")] * 3 == [said(answer) for answer in answers]


async def test_confirming_as_an_account_that_mbizmarket_calls_unverified(service: Service) -> None:
    """Somebody else may have registered this e-mail: its company is not the PP's to take."""
    ids = await own_account(service, "PT Jebakan", email_verified=False)
    who = await person(service)
    assert (404, "company_not_found") == said(await who.confirm(ids[0]))
    assert "unmapped" == await who.status()


async def test_confirming_what_is_stale(service: Service) -> None:
    """The page was shown a while ago: what was taken or closed since is refused, never mapped."""
    ids = await own_account(service, "PT A", "PT B")
    rival = await service.make_account("pp2@satker.example")
    await join_company(service, rival["account_id"], ids[0])
    who = await person(service)
    assert "confirm_account" == await who.step()
    assert MAPPED == said(await (await person(service, 2, 1)).confirm(ids[0]))
    await close_company(service, ids[1])
    assert (409, "company_already_mapped") == said(await who.confirm(ids[0]))
    assert (409, "company_inactive") == said(await who.confirm(ids[1]))
    assert "unmapped" == await who.status()


async def test_confirming_what_is_taken_while_it_is_confirmed(database_url: str, tmp_path: Path) -> None:
    """Judged again at the commit, not when mbizmarket was asked."""
    wire = held(tmp_path, "/v1/accounts/search")
    async with serving(database_url, wire) as service:
        ids = await own_account(service, "PT A")
        who = await person(service, 1, 0)
        slow = asyncio.create_task(who.confirm(ids[0]))
        await wire.waiting.wait()
        assert MAPPED == said(await (await person(service, 2, 1)).log_in("pp1@satker.example"))
        wire.send.set()
        assert (409, "company_already_mapped") == said(await slow)


async def test_confirming_to_join_a_colleague(service: Service) -> None:
    """The verified e-mail's account holds the satker's company, even a closed one: access. Otherwise refused."""
    ids = await own_account(service, "PT A")
    colleague = await service.make_account("pp2@satker.example", "PT Lain")
    await (await person(service, 1)).confirm(ids[0])
    second = await person(service, 2)
    own = colleague["companies"][0]["company_id"]
    assert (409, "satker_already_mapped") == said(await second.confirm(own))
    assert (404, "company_not_found") == said(await second.confirm(ids[0]))
    await join_company(service, colleague["account_id"], ids[0])
    await close_company(service, ids[0])
    assert MAPPED == said(await second.confirm(ids[0]))


async def test_confirming_finishes_an_uncertain_registration_of_that_email(service: Service) -> None:
    """The account is there and the address is the PP's own: the lost answer is no longer needed."""
    claims = {"email": "Lost@satker.example"}
    who = await person(service, **claims)
    assert (202, "checking") == said(await who.register("lost@satker.example"))
    made = (await service.truth())["registrations"][0]
    answer = await who.confirm(made["company_id"])
    assert (MAPPED, "register") == (said(answer), answer.json()["via"])
    assert [made["reference"]] == [row.id for row in await attempts(service.database)]


async def test_confirming_while_another_email_is_being_registered(service: Service) -> None:
    """In progress at once, and mbizmarket is not asked; so for every PP of the satker."""
    ids = await own_account(service, "PT A")
    who, colleague = await person(service, 1), await person(service, 2)
    assert (202, "checking") == said(await who.register("lost@baru.example"))
    for each in (who, colleague):
        answer = await each.confirm(ids[0])
        assert (409, "link_in_progress") == said(answer)
        assert int(answer.headers["Retry-After"]) >= 1
    assert 0 == (await service.truth())["requests"]["search"]


async def test_confirming_at_another_satker_while_that_email_is_being_registered(service: Service) -> None:
    """Its account is linked to no other satker meanwhile."""
    claims = {"email": "lost@satker.example"}
    who = await person(service, 1, 0, **claims)
    await who.register("lost@satker.example")
    made = (await service.truth())["registrations"][0]
    other = await person(service, 1, 1, **claims)
    assert (409, "link_in_progress") == said(await other.confirm(made["company_id"]))
    assert "unmapped" == await other.status()
