"""GET /v1/mbiz-account: whether the PP's own verified e-mail has an account, and nobody else's."""

from typing import Any

import httpx
import pytest

from tests.mapping.people import close_company, on_sqlite, person, said
from tests.service import Service, bearer

pytestmark = [pytest.mark.anyio, on_sqlite]

OWN = "pp1@satker.example"


async def look(service: Service, asked: str | None = None, **claims: Any) -> httpx.Response:
    query = {} if asked is None else {"email": asked}
    return await service.http.get("/v1/mbiz-account", params=query, headers=bearer(**claims))


async def test_looking_without_an_account(service: Service) -> None:
    """There is none."""
    expected = {"email": OWN, "has_account": False, "status": "none", "companies": []}
    assert expected == (await look(service)).json()


@pytest.mark.parametrize("email", [OWN, "PP1@Satker.EXAMPLE", f" {OWN} "])
async def test_looking_by_ones_own_address(service: Service, email: str) -> None:
    """In whatever case it is written, it is the token's address that is answered for."""
    assert OWN == (await look(service, email)).json()["email"]


@pytest.mark.parametrize(
    ("email", "claims", "refusal"),
    [
        ("budi@mbiz.example", {}, (403, "email_not_yours")),
        ("tidak.ada@mbiz.example", {}, (403, "email_not_yours")),
        (None, {"email_verified": False}, (403, "email_unverified")),
        (OWN, {"email_verified": None}, (403, "email_unverified")),
        (None, {"email_verified": "true"}, (403, "email_unverified")),
        (None, {"email_verified": 1}, (403, "email_unverified")),
        (None, {"email": None}, (403, "email_unverified")),
        ("budi@mbiz.example", {"email": None}, (403, "email_unverified")),
        ("bukan alamat", {}, (422, "validation_failed")),
    ],
)
async def test_looking_for_what_is_not_ones_own(
    service: Service, email: str | None, claims: dict[str, Any], refusal: tuple[int, str]
) -> None:
    """Refused before mbizmarket is asked, the same whether there is such an account or not."""
    assert refusal == said(await look(service, email, **claims))
    assert 0 == (await service.truth())["requests"]["search"]


async def test_looking_at_ones_companies(service: Service) -> None:
    """Active ones, each with whether it is mapped, and to which satker if that is on one's own list."""
    account = await service.make_account(OWN, "PT Bebas", "PT Di Sini", "PT Di Sana", "PT Tutup")
    ids = [company["company_id"] for company in account["companies"]]
    await close_company(service, ids[3])
    mine, theirs = await person(service, 1, 0), await person(service, 2, 1)
    await mine.confirm(ids[1])
    await theirs.log_in(OWN, company_id=ids[2])
    answer = (await look(service)).json()
    assert (True, "available") == (answer["has_account"], answer["status"])
    seen = [
        tuple(company[key] for key in ("company_id", "name", "mapped", "mapped_to_satker_id"))
        for company in answer["companies"]
    ]
    assert [
        (ids[0], "PT Bebas", False, None),
        (ids[1], "PT Di Sini", True, mine.satker),
        (ids[2], "PT Di Sana", True, None),
    ] == seen
    assert {"Bandung"} == {company["city"] for company in answer["companies"]}


async def test_looking_when_all_are_mapped(service: Service) -> None:
    """`already_mapped` once no active company is free."""
    account = await service.make_account(OWN, "PT A")
    who = await person(service)
    await who.confirm(account["companies"][0]["company_id"])
    assert "already_mapped" == (await look(service)).json()["status"]


@pytest.mark.parametrize("kind", ["no company", "closed", "unverified"])
async def test_looking_at_an_account_with_nothing_to_offer(service: Service, kind: str) -> None:
    """The account exists, so registering would not work; none of its companies is shown."""
    names = () if kind == "no company" else ("PT A",)
    account = await service.make_account(OWN, *names, email_verified=kind != "unverified")
    if kind == "closed":
        await close_company(service, account["companies"][0]["company_id"])
    expected = {"email": OWN, "has_account": True, "status": "no_active_company", "companies": []}
    assert expected == (await look(service)).json()


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [("503_before", (503, "mbiz_unavailable")), ("html_200", (502, "mbiz_bad_response"))],
)
async def test_looking_while_mbizmarket_fails(service: Service, fault: str, refusal: tuple[int, str]) -> None:
    """Not knowing is not "none"."""
    await service.fault("search", fault)
    assert refusal == said(await look(service))


async def test_looking_when_mbizmarket_answers_for_somebody_else(service: Service) -> None:
    """An account with another address than the one that was asked for is not believed."""
    await service.make_account(OWN, "PT A")
    await service.fault("search", "other_email")
    assert (502, "mbiz_bad_response") == said(await look(service))
