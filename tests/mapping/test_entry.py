"""POST …/entry: what the portal shows next, in every standing that a satker can have."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from app.models import Access, CatalogSatker
from sqlalchemy import update

from tests.mapping.people import (
    Person,
    accesses,
    attempts,
    close_company,
    end_leases,
    join_company,
    on_sqlite,
    person,
    said,
)
from tests.mapping.wires import held, serving
from tests.service import Service

pytestmark = pytest.mark.anyio

FORGOT = "https://mbiz.example/lupa"
CHECKING = (202, "checking")


async def shown(who: Person, **body: Any) -> Any:
    answer = await who.enter(**body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ask_registered(status: str, suggested: str | None = None) -> dict[str, Any]:
    return {
        "next_step": "ask_registered",
        "suggested_email": suggested,
        "email_status": status,
        "forgot_password_url": FORGOT,
    }


def log_in(reason: str) -> dict[str, Any]:
    return {"next_step": "log_in", "reason": reason, "forgot_password_url": FORGOT}


@pytest.mark.parametrize(
    ("claims", "status", "suggested", "searches"),
    [
        ({}, "free", "pp1@satker.example", 1),
        ({"email_verified": False}, "unverified", "pp1@satker.example", 0),
        ({"email_verified": "true"}, "unverified", "pp1@satker.example", 0),
        ({"email": None}, "absent", None, 0),
        ({"email": "bukan alamat"}, "absent", None, 0),
    ],
)
async def test_entering_a_satker_without_a_company(
    sqlite_service: Service, claims: dict[str, Any], status: str, suggested: str | None, searches: int
) -> None:
    """Asks whether one is registered; an address that is not verified is suggested and not looked up."""
    who = await person(sqlite_service, **claims)
    assert ask_registered(status, suggested) == await shown(who)
    assert searches == (await sqlite_service.truth())["requests"]["search"]


@on_sqlite
async def test_entering_with_free_companies_of_ones_own(service: Service) -> None:
    """Those of the verified e-mail's account that are active and free are offered, and no others."""
    account = await service.make_account("pp1@satker.example", "PT A", "PT B", "PT Tutup", "PT Lain")
    ids = [company["company_id"] for company in account["companies"]]
    await close_company(service, ids[2])
    await (await person(service, 1, 1)).confirm(ids[3])
    companies = [
        {"company_id": ids[n], "name": name, "city": "Bandung"} for n, name in enumerate(("PT A", "PT B"))
    ]
    expected = {
        "next_step": "confirm_account",
        "account": {"email": "pp1@satker.example", "name": "Nama Akun"},
        "companies": companies,
    }
    assert expected == await shown(await person(service, 1, 0))


@on_sqlite
@pytest.mark.parametrize("kind", ["no company", "closed", "taken", "unverified"])
async def test_entering_with_an_account_that_has_nothing_to_offer(service: Service, kind: str) -> None:
    """The address is known to mbizmarket, so it is not suggested: it would only lead to `email_taken`."""
    names = () if kind == "no company" else ("PT A",)
    account = await service.make_account("pp1@satker.example", *names, email_verified=kind != "unverified")
    if kind == "closed":
        await close_company(service, account["companies"][0]["company_id"])
    if kind == "taken":
        await (await person(service, 2, 1)).log_in("pp1@satker.example")
    assert ask_registered("already_used") == await shown(await person(service))


async def test_entering_when_mapped(sqlite_url: str, tmp_path: Path) -> None:
    """A way into mbizmarket that works once, with the portal's hand-off fields."""
    wire = held(tmp_path, "/v1/sessions")
    wire.send.set()
    async with serving(sqlite_url, wire) as service:
        who = await person(service)
        company = (await who.register("baru@satker.example")).json()["company"]
        step = await shown(who, category="ATK")
        assert ("open_mbizmarket", company) == (step["next_step"], step["company"])
        made = (await service.truth())["registrations"][0]
        payload = {
            "userName": "pejabat1",
            "realName": "Pejabat Satu",
            "email": "pp1@satker.example",
            "phone": "0812345678",
            "role": "PP",
            "lpseId": "119",
            "idInstansi": "K1",
            "namaInstansi": "KEMENTERIAN SATU",
            "idSatker": "1001",
            "namaSatker": "Satker Kementerian Satu 0",
            "category": "ATK",
        }
        ids = {key: made[key] for key in ("account_id", "company_id")}
        assert [{**ids, "payload": payload}] == wire.bodies
        again = await shown(who)
        assert step["redirect_url"] != again["redirect_url"]


async def test_entering_when_mapped_with_little_known(sqlite_url: str, tmp_path: Path) -> None:
    """What is not known is left out, not invented; a satker without `kd_satker` goes by its code."""
    wire = held(tmp_path, "/v1/sessions")
    wire.send.set()
    async with serving(sqlite_url, wire) as service:
        async with service.database.begin() as tx:
            await tx.execute(update(CatalogSatker).values(kd_satker=None))
        unknown = dict.fromkeys(["name", "preferred_username", "phone", "lpse_id", "email"])
        who = await person(service, **unknown)
        await who.register("baru@satker.example")
        await shown(who)
        payload = {
            "role": "PP",
            "idInstansi": "K1",
            "namaInstansi": "KEMENTERIAN SATU",
            "idSatker": "000001",
            "namaSatker": "Satker Kementerian Satu 0",
        }
        assert [payload] == [body["payload"] for body in wire.bodies]


@on_sqlite
async def test_entering_where_a_colleague_has_mapped(service: Service) -> None:
    """Log in; nothing is said of the company to whom mbizmarket does not know as belonging to it."""
    await service.make_account("budi@lain.example", "PT Budi")
    await service.make_account("pp2@satker.example", "PT Milik Sendiri")
    await (await person(service, 1)).log_in("budi@lain.example")
    for number, claims in ((2, {}), (3, {}), (4, {"email": None})):
        assert log_in("mapped_by_other") == await shown(await person(service, number, **claims))


@pytest.mark.parametrize("verified_there", [True, False])
@pytest.mark.parametrize("verified_here", [True, False])
async def test_entering_where_ones_own_company_is_mapped(
    sqlite_service: Service, verified_here: bool, verified_there: bool
) -> None:
    """Exactly that company is offered, if portal and mbizmarket both vouch for the address."""
    service = sqlite_service
    account = await service.make_account("budi@lain.example", "PT Budi")
    company_id = account["companies"][0]["company_id"]
    own = await service.make_account("pp2@satker.example", "PT Bebas", email_verified=verified_there)
    await join_company(service, own["account_id"], company_id)
    await (await person(service, 1)).log_in("budi@lain.example")
    step = await shown(await person(service, 2, email_verified=verified_here))
    if verified_here and verified_there:
        assert [{"company_id": company_id, "name": "PT Budi", "city": "Bandung"}] == step["companies"]
    else:
        assert log_in("mapped_by_other") == step


@on_sqlite
async def test_entering_a_company_that_was_closed_or_is_gone(service: Service) -> None:
    """Each is said as it is; nothing is matched again by e-mail."""
    account = await service.make_account("pp1@satker.example", "PT A", "PT B")
    ids = [company["company_id"] for company in account["companies"]]
    who = await person(service)
    await who.confirm(ids[0])
    await close_company(service, ids[0])
    assert (409, "company_inactive") == said(await who.enter())
    await service.mbiz.delete(f"/sandbox/companies/{ids[0]}")
    assert (409, "company_gone") == said(await who.enter())
    assert "mapped" == await who.status()


@on_sqlite
async def test_entering_after_the_account_left_the_company(service: Service) -> None:
    """The access is lost at mbizmarket: log in, as the same or as another account of that company, and it works."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    colleague = await service.make_account("rekan@lain.example")
    company_id = account["companies"][0]["company_id"]
    who = await person(service)
    await who.log_in("budi@lain.example")
    await join_company(service, colleague["account_id"], company_id)
    await service.mbiz.delete(f"/sandbox/accounts/{account['account_id']}/companies/{company_id}")
    assert log_in("access_lost") == await shown(who)
    assert (200, "mapped") == said(await who.log_in("rekan@lain.example"))
    assert "open_mbizmarket" == await who.step()


async def forget_accounts(service: Service) -> None:
    """As the import leaves a pair whose account is not known."""
    async with service.database.begin() as tx:
        await tx.execute(update(Access).values(account_id=None, via="legacy"))


async def test_entering_an_imported_mapping_whose_account_is_unknown(service: Service) -> None:
    """The verified e-mail tells the account, once and for all; where it cannot, the person logs in."""
    account = await service.make_account("pp1@satker.example", "PT A")
    who, colleague = await person(service, 1), await person(service, 2)
    for each in (who, colleague):
        await each.log_in("pp1@satker.example")
    await forget_accounts(service)
    assert log_in("account_unknown") == await shown(colleague)
    assert "open_mbizmarket" == await who.step()
    assert [account["account_id"], None] == [row.account_id for row in await accesses(service.database)]
    assert "legacy" == (await who.mapping())["via"]
    searches = (await service.truth())["requests"]["search"]
    assert "open_mbizmarket" == await who.step()
    assert searches == (await service.truth())["requests"]["search"]
    assert (200, "mapped") == said(await colleague.log_in("pp1@satker.example"))
    assert "open_mbizmarket" == await colleague.step()


async def test_entering_an_imported_mapping_that_ends_meanwhile(database_url: str, tmp_path: Path) -> None:
    """Nobody is sent into a company whose mapping has ended while mbizmarket was asked for the account."""
    wire = held(tmp_path, "/v1/accounts/search")
    async with serving(database_url, wire) as service:
        await service.make_account("pp1@satker.example", "PT A")
        who = await person(service)
        await who.log_in("pp1@satker.example")
        await forget_accounts(service)
        slow = asyncio.create_task(who.enter())
        await wire.waiting.wait()
        await who.unlink()
        wire.send.set()
        assert log_in("account_unknown") == (await slow).json()
        assert 0 == (await service.truth())["requests"]["session"]


async def test_entering_while_a_registration_is_uncertain(service: Service) -> None:
    """mbizmarket is asked first: what it made is mapped, and the next step is the way in."""
    who = await person(service)
    await who.register("lost@baru.example")
    assert "open_mbizmarket" == await who.step()
    assert ("mapped", "register") == ((await who.mapping())["status"], (await who.mapping())["via"])


async def test_entering_while_a_colleagues_registration_is_uncertain(service: Service) -> None:
    """Whoever enters finds out for all; the colleague's mapping is theirs to prove."""
    who, colleague = await person(service, 1), await person(service, 2)
    await who.register("lost@baru.example")
    await service.fault("find_registration", "lag", seconds=60)
    step = await shown(colleague)
    assert "wait" == step["next_step"]
    assert step["retry_after"] >= 1
    assert log_in("mapped_by_other") == await shown(colleague)
    assert "mapped" == await who.status()


@pytest.mark.parametrize("fault", ["503_before", "drop_after", "html_200", "refuse", "other_email"])
async def test_entering_while_uncertain_and_mbizmarket_cannot_say(
    sqlite_service: Service, fault: str
) -> None:
    """Wait: what is not known to have failed is being checked."""
    who = await person(sqlite_service)
    await who.register("lost@baru.example")
    await sqlite_service.fault("find_registration", fault)
    assert "wait" == await who.step()
    assert "checking" == await who.status()
    assert "open_mbizmarket" == await who.step()


async def test_entering_after_a_registration_that_never_arrived(service: Service) -> None:
    """ "No such reference" is believed the third time: then the satker is free, and the person is asked again."""
    who = await person(service)
    await service.fault("register", "503_before")
    assert CHECKING == said(await who.register())
    assert ["wait", "wait", "ask_registered"] == [await who.step() for _ in range(3)]
    assert "never_arrived" == (await who.mapping())["last_failure"]["code"]
    assert ["refused"] == [row.state for row in await attempts(service.database)]


async def test_entering_after_a_crash(database_url: str, tmp_path: Path) -> None:
    """While the lease runs there is no use in asking; past it, the registration is asked about like any other."""
    wire = held(tmp_path)
    wire.send.set()
    wire.answer.clear()
    async with serving(database_url, wire) as service:
        who = await person(service)
        call = asyncio.create_task(who.register())
        await wire.arrived.wait()
        call.cancel()
        await asyncio.wait([call])
        step = await shown(who)
        assert "wait" == step["next_step"]
        assert 5 <= step["retry_after"] <= 10
        assert 0 == (await service.truth())["requests"]["find_registration"]
        assert 1 == await end_leases(service.database)
        assert "open_mbizmarket" == await who.step()


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        ("503_before", (503, "mbiz_unavailable")),
        ("rate_limited", (503, "mbiz_unavailable")),
        ("drop_after", (503, "mbiz_unavailable")),
        ("html_200", (502, "mbiz_bad_response")),
        ("garbage", (502, "mbiz_bad_response")),
        ("missing_id", (502, "mbiz_bad_response")),
        ("redirect_308", (502, "mbiz_bad_response")),
    ],
)
async def test_entering_while_mbizmarket_fails(
    sqlite_service: Service, fault: str, refusal: tuple[int, str]
) -> None:
    """Mapped or not, the failure is said as it is; the mapping is read all the same."""
    service = sqlite_service
    mapped, unmapped = await person(service, 1, 0), await person(service, 1, 1)
    await mapped.register()
    await service.make_account("pp1@satker.example", "PT A")
    for who, call in ((mapped, "session"), (unmapped, "search")):
        await service.fault(call, fault)
        assert refusal == said(await who.enter())
    assert ["mapped", "unmapped"] == [await mapped.status(), await unmapped.status()]
