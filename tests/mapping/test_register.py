"""POST …/mapping/register, the one thing that changes mbizmarket: one account, whatever comes between."""

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from app.main import create_app
from app.mapping import settling

from tests.invariants import violations
from tests.mapping.people import (
    accesses,
    attempts,
    close_company,
    end_leases,
    join_company,
    on_sqlite,
    person,
    said,
    told,
)
from tests.mapping.wires import held, serving
from tests.service import Service, settings_for

pytestmark = pytest.mark.anyio

MAPPED, AGAIN, CHECKING = (201, "mapped"), (200, "mapped"), (202, "checking")
IN_PROGRESS = (409, "link_in_progress")


async def made(service: Service) -> int:
    return len((await service.truth())["registrations"])


async def sent(service: Service) -> int:
    return int((await service.truth())["requests"]["register"])


async def test_registering(service: Service) -> None:
    """An account is made under our reference, and the satker is mapped to its company."""
    who = await person(service)
    answer = await who.register("baru@satker.example")
    assert (MAPPED, "register") == (said(answer), answer.json()["via"])
    registration = (await service.truth())["registrations"][0]
    (attempt,) = await attempts(service.database)
    assert (attempt.id, 1) == (registration["reference"], attempt.sends)
    assert attempt.company_id == registration["company_id"] == answer.json()["company"]["company_id"]
    assert [registration["account_id"]] == [row.account_id for row in await accesses(service.database)]
    assert [("mapped", "ok")] == await told(service.database)
    assert "open_mbizmarket" == await who.step()


async def test_registering_again_after_it_is_done(service: Service) -> None:
    """200 and the mapping as it is, in whatever case the e-mail is typed, and nothing is sent."""
    who = await person(service)
    first = await who.register("baru@satker.example")
    again = await who.register(" Baru@Satker.EXAMPLE ", password="lain sama sekali")
    assert (AGAIN, first.json()) == (said(again), again.json())
    assert 1 == await sent(service)


async def test_registering_again_while_it_is_under_way(database_url: str, tmp_path: Path) -> None:
    """202 with the mapping's place; another e-mail, and another PP, are told to wait; only one is sent."""
    wire = held(tmp_path)
    async with serving(database_url, wire) as service:
        who, colleague = await person(service, 1), await person(service, 2)
        live = asyncio.create_task(who.register("baru@satker.example"))
        await wire.waiting.wait()
        again = await who.register("BARU@satker.example")
        assert CHECKING == said(again)
        assert f"/v1/satkers/{who.satker}/mapping" == again.headers["Location"]
        step = (await who.enter()).json()
        assert step["retry_after"] in range(1, int(again.headers["Retry-After"]) + 1)
        assert int(again.headers["Retry-After"]) - step["retry_after"] <= 2  # a moment later
        for refused in (
            await who.register("lain@satker.example"),
            await who.log_in("baru@satker.example"),
            await who.unlink(),
            await who.remove(unlink=True),
            await who.patch(service.catalog[1]),
            await colleague.register("baru@satker.example"),
            await colleague.log_in("budi@mbiz.example"),
        ):
            assert IN_PROGRESS == said(refused)
            assert int(refused.headers["Retry-After"]) >= 1
        assert ["checking", "unmapped"] == [await who.status(), await colleague.status()]
        assert ["wait", "wait"] == [await who.step(), await colleague.step()]
        wire.send.set()
        assert MAPPED == said(await live)
        assert 1 == await sent(service)
        assert 0 == (await service.truth())["requests"]["login"]


@on_sqlite
async def test_registering_an_email_that_is_taken(service: Service) -> None:
    """Refused, told as the last failure, and the satker is free for the next try, which clears that."""
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    assert (409, "email_taken") == said(await who.register("budi@lain.example"))
    mapping = await who.mapping()
    assert ("unmapped", "email_taken") == (mapping["status"], mapping["last_failure"]["code"])
    answer = await who.register("baru@satker.example")
    assert (MAPPED, None) == (said(answer), answer.json()["last_failure"])
    assert [("registration", "email_taken"), ("mapped", "ok")] == await told(service.database)
    assert ["refused", "mapped"] == [row.state for row in await attempts(service.database)]


@on_sqlite
async def test_registering_what_mbizmarket_rejects(service: Service) -> None:
    """Its codes are passed on for the fields that were sent, none of its words, and the satker is free."""
    who = await person(service)
    address = {"street": "Jalan 1", "city": "Bandung", "postal_code": "99911"}
    answer = await who.register(password="pendek", company={"name": "PT Jauh", "address": address})
    assert (422, "mbiz_rejected") == said(answer)
    errors = {error["field"]: error["code"] for error in answer.json()["errors"]}
    assert {"password": "too_weak", "company.address.postal_code": "not_served"} == errors
    mapping = await who.mapping()
    assert ("unmapped", "mbiz_rejected") == (mapping["status"], mapping["last_failure"]["code"])
    assert MAPPED == said(await who.register())


@on_sqlite
async def test_registering_while_mbizmarket_cannot_be_reached(service: Service) -> None:
    """Nothing was sent, so the satker is free and the form may simply come again."""
    who = await person(service)
    await service.fault("register", "refuse")
    answer = await who.register()
    assert (503, "mbiz_unavailable") == said(answer)
    assert "mbiz_unavailable" == (await who.mapping())["last_failure"]["code"]
    assert ["refused"] == [row.state for row in await attempts(service.database)]
    assert MAPPED == said(await who.register())
    assert 1 == await made(service)


@on_sqlite
async def test_registering_without_a_token_of_our_own(service: Service) -> None:
    """The token comes before anything is sent: when mbizmarket gives none, the satker is free."""
    who = await person(service)
    await service.fault("token", "503_before")
    assert (503, "mbiz_unavailable") == said(await who.register())
    assert 0 == await sent(service)
    assert "unmapped" == await who.status()


@on_sqlite
async def test_registering_with_a_token_that_has_expired(service: Service) -> None:
    """Renewed once and repeated once: it is nobody's failure, and one account is made."""
    who = await person(service)
    assert "ask_registered" == await who.step()
    await service.mbiz.post("/sandbox/tokens/expire")
    assert MAPPED == said(await who.register())
    assert (1, 2) == (await made(service), await sent(service))


@pytest.mark.parametrize(
    "fault",
    [
        *("503_before", "rate_limited", "redirect_308", "500_after", "drop_after", "garbage", "html_200"),
        *("missing_id", "other_email", "other_reference", "two_companies"),
    ],
)
async def test_registering_into_an_unknown_outcome(sqlite_service: Service, fault: str) -> None:
    """Whatever is no clear answer is being checked, and the same form again ends mapped, with one account."""
    service = sqlite_service
    who = await person(service)
    await service.fault("register", fault)
    answer = await who.register()
    assert CHECKING == said(answer)
    assert answer.json() == await who.mapping()
    assert [("registration", "uncertain")] == await told(service.database)
    assert MAPPED == said(await who.register())
    assert 1 == await made(service)
    assert 1 == len(await attempts(service.database))
    assert [] == await violations(service.database, await service.truth())


async def test_registering_again_when_the_lookup_lags(service: Service) -> None:
    """mbizmarket does not know the reference yet: it is sent again under it, which finds the account it made."""
    who = await person(service)
    await service.fault("register", "lag", seconds=60)
    assert CHECKING == said(await who.register("lost@baru.example"))
    assert MAPPED == said(await who.register("lost@baru.example"))
    assert (1, 2) == (await made(service), await sent(service))
    (attempt,) = await attempts(service.database)
    assert 2 == attempt.sends
    (registration,) = (await service.truth())["registrations"]
    assert (attempt.id, 2) == (registration["reference"], registration["deliveries"])


@on_sqlite
async def test_registering_again_with_other_data(service: Service) -> None:
    """What arrived first counts: the mapping shows the company as mbizmarket has it."""
    who = await person(service)
    await who.register("lost@baru.example")
    address = {"street": "Jalan 1", "city": "Bandung", "postal_code": "40111"}
    answer = await who.register("lost@baru.example", company={"name": "Nama Lain", "address": address})
    assert (MAPPED, "Dinas Contoh") == (said(answer), answer.json()["company"]["name"])


@on_sqlite
async def test_registering_again_what_never_arrived_with_other_data(service: Service) -> None:
    """The first never arrived, so the repeat's data are what mbizmarket gets."""
    who = await person(service)
    await service.fault("register", "503_before")
    assert CHECKING == said(await who.register())
    address = {"street": "Jalan 1", "city": "Bandung", "postal_code": "40111"}
    answer = await who.register(company={"name": "Nama Lain", "address": address})
    assert (MAPPED, "Nama Lain") == (said(answer), answer.json()["company"]["name"])
    (attempt,), (registration,) = await attempts(service.database), (await service.truth())["registrations"]
    assert attempt.id == registration["reference"]


async def test_registering_another_email_while_one_is_uncertain(service: Service) -> None:
    """In progress, for oneself and for colleagues, and nothing is sent; so for that e-mail at another satker."""
    who, colleague = await person(service, 1), await person(service, 2)
    elsewhere = await person(service, 1, 1)
    assert CHECKING == said(await who.register("lost@baru.example"))
    for answer in (
        await who.register("lain@baru.example"),
        await colleague.register("lost@baru.example"),
        await elsewhere.register("Lost@baru.example"),
        await who.unlink(),
        await who.remove(),
    ):
        assert IN_PROGRESS == said(answer)
        assert int(answer.headers["Retry-After"]) >= 1
    assert 1 == await sent(service)
    assert (204, "") == said(await colleague.unlink())
    assert 204 == (await colleague.remove()).status_code


@on_sqlite
async def test_registering_again_when_the_email_turns_out_to_be_somebody_elses(service: Service) -> None:
    """With a wrong password it is `email_taken` and stays uncertain, until settling frees the satker."""
    who = await person(service)
    await service.fault("register", "503_before")
    assert CHECKING == said(await who.register("budi@lain.example"))
    await service.make_account("budi@lain.example", "PT Budi", password="Kata-Sandi-Budi")
    assert (409, "email_taken") == said(await who.register("budi@lain.example"))
    assert "checking" == await who.status()
    for _ in range(3):
        await settling.settle(service.context, whatever_the_backoff=True)
    mapping = await who.mapping()
    assert ("unmapped", "never_arrived") == (mapping["status"], mapping["last_failure"]["code"])
    expected = [("registration", word) for word in ("uncertain", "uncertain", "email_taken", "never_arrived")]
    assert expected == await told(service.database)


async def test_registering_again_when_the_email_turns_out_to_be_ones_own(service: Service) -> None:
    """The typed password proves the account behind `email_taken`: mapped, and by the registration."""
    who = await person(service)
    await service.fault("register", "503_before")
    assert CHECKING == said(await who.register("budi@lain.example"))
    await service.make_account("budi@lain.example", "PT Budi")
    answer = await who.register("budi@lain.example")
    assert (MAPPED, "register", "PT Budi") == (
        said(answer),
        answer.json()["via"],
        answer.json()["company"]["name"],
    )
    assert AGAIN == said(await who.register("budi@lain.example"))
    assert [] == await violations(service.database, await service.truth())


@on_sqlite
@pytest.mark.parametrize("companies", [(), ("PT A", "PT B")])
async def test_registering_again_when_that_account_leaves_a_choice(
    service: Service, companies: tuple[str, ...]
) -> None:
    """A registration asks no choice: `email_taken` sends the person to log in, which does and finishes it."""
    who = await person(service)
    await service.fault("register", "503_before")
    await who.register("budi@lain.example")
    account = await service.make_account("budi@lain.example", *companies)
    assert (409, "email_taken") == said(await who.register("budi@lain.example"))
    assert "checking" == await who.status()
    if companies:
        assert (409, "company_choice_required") == said(await who.log_in("budi@lain.example"))
        chosen = account["companies"][1]["company_id"]
        assert MAPPED == said(await who.log_in("budi@lain.example", company_id=chosen))


@on_sqlite
@pytest.mark.parametrize(
    ("fault", "refusal"), [("refuse", (503, "mbiz_unavailable")), ("rate_limited", CHECKING)]
)
async def test_registering_again_while_mbizmarket_is_away(
    service: Service, fault: str, refusal: tuple[int, str]
) -> None:
    """A repeat that comes to nothing says so, and the first send stays uncertain."""
    who = await person(service)
    await service.fault("register", "503_before")
    assert CHECKING == said(await who.register())
    await service.fault("register", fault)
    assert refusal == said(await who.register())
    assert "checking" == await who.status()
    assert MAPPED == said(await who.register())
    assert 1 == await made(service)


@on_sqlite
async def test_registering_again_what_is_rejected_now(service: Service) -> None:
    """Answered alike, and still uncertain: what the first send did, only the reference can tell."""
    who = await person(service)
    await service.fault("register", "503_before")
    await who.register()
    assert (422, "mbiz_rejected") == said(await who.register(password="pendek"))
    assert "checking" == await who.status()
    assert ("registration", "mbiz_rejected") == (await told(service.database))[-1]


async def test_registering_after_a_crash_between_intent_and_answer(database_url: str, tmp_path: Path) -> None:
    """A row left under way past its lease is uncertain: the same form finds what mbizmarket has, and is done."""
    wire = held(tmp_path)
    async with serving(database_url, wire) as service:
        who = await person(service)
        wire.send.set()
        wire.answer.clear()
        call = asyncio.create_task(who.register())
        await wire.arrived.wait()
        call.cancel()
        await asyncio.wait([call])
        assert CHECKING == said(await who.register())
        assert 1 == await end_leases(service.database)
        wire.answer.set()
        assert MAPPED == said(await who.register())
        assert 1 == await made(service)
        assert [] == await violations(service.database, await service.truth())


async def test_a_first_send_that_fails_while_the_second_is_under_way(
    database_url: str, tmp_path: Path
) -> None:
    """Each send is told its own end; that of the first changes nothing for the second, which ends mapped."""
    wire = held(tmp_path)
    async with serving(database_url, wire) as service:
        who = await person(service)
        first = asyncio.create_task(who.register())
        await wire.waiting.wait()
        assert 1 == await end_leases(service.database)
        wire.waiting.clear()
        second = asyncio.create_task(who.register())
        await wire.waiting.wait()
        await service.fault("register", "refuse")
        wire.send.set()
        assert (503, "mbiz_unavailable") == said(await first)
        assert MAPPED == said(await second)
        assert [] == await violations(service.database, await service.truth())


async def test_registering_again_after_the_secret_was_changed(database_url: str, tmp_path: Path) -> None:
    """A row carries the digest of either secret: it is still this e-mail's, here and at every other satker."""
    wire = held(tmp_path)
    wire.send.set()
    async with serving(database_url, wire) as service:
        who = await person(service)
        assert CHECKING == said(await who.register("lost@baru.example"))
        secrets = f"{'n' * 40},{'s' * 40}"
        app = create_app(settings_for(database_url, app_secret=secrets), mbiz_transport=wire)
        async with (
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as http,
            app.router.lifespan_context(app),
        ):
            later = replace(service, http=http)
            elsewhere = await person(later, 2, 1)
            assert IN_PROGRESS == said(await elsewhere.register("lost@baru.example"))
            assert IN_PROGRESS == said(await elsewhere.log_in("lost@baru.example"))
            assert MAPPED == said(await replace(who, service=later).register("lost@baru.example"))
            assert AGAIN == said(await replace(who, service=later).register("lost@baru.example"))
        assert 1 == await made(service)


async def test_registering_where_a_colleague_has_mapped(service: Service) -> None:
    """Refused without a name, and nothing is sent; a row of the history is left."""
    await service.make_account("budi@lain.example", "PT Budi")
    await (await person(service, 1)).log_in("budi@lain.example")
    answer = await (await person(service, 2)).register()
    assert (409, "satker_already_mapped") == said(answer)
    assert "Budi" not in answer.text
    assert 0 == await sent(service)
    assert ("registration", "satker_already_mapped") == (await told(service.database))[-1]


@on_sqlite
async def test_registering_after_unlinking_while_a_colleague_stays(service: Service) -> None:
    """Without access even the same form is refused; the account it made gets in by logging in."""
    who, colleague = await person(service, 1), await person(service, 2)
    await who.register()
    await colleague.log_in("baru@satker.example")
    await who.unlink()
    assert (409, "satker_already_mapped") == said(await who.register())
    assert MAPPED == said(await who.log_in("baru@satker.example"))
    assert AGAIN == said(await who.register())


@on_sqlite
async def test_registering_after_removing_and_adding_again(service: Service) -> None:
    """A new place on the list, the same PP and e-mail: once they are in again, the form is still done."""
    who, colleague = await person(service, 1), await person(service, 2)
    await who.register()
    await colleague.log_in("baru@satker.example")
    assert 204 == (await who.remove(unlink=True)).status_code
    again = await person(service, 1)
    assert "mapped_by_other" == await again.status()
    await again.log_in("baru@satker.example")
    assert AGAIN == said(await again.register())
    assert 1 == await sent(service)


@on_sqlite
async def test_registering_where_one_is_mapped(service: Service) -> None:
    """Another e-mail is refused while the company is active."""
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    await who.log_in("budi@lain.example")
    assert (409, "satker_already_mapped") == said(await who.register())
    assert 0 == await sent(service)


async def test_registering_in_place_of_a_closed_company(service: Service) -> None:
    """The old mapping and its accesses end with the intent, before anything is sent."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    company_id = account["companies"][0]["company_id"]
    who, colleague = await person(service, 1), await person(service, 2)
    for each in (who, colleague):
        await each.log_in("budi@lain.example")
    await close_company(service, company_id)
    assert CHECKING == said(await who.register("lost@baru.example"))
    assert [] == await accesses(service.database)
    assert ["checking", "unmapped"] == [await who.status(), await colleague.status()]
    assert MAPPED == said(await who.register("lost@baru.example"))
    assert [] == await violations(service.database, await service.truth())


@on_sqlite
async def test_registering_in_place_of_a_company_that_mbizmarket_cannot_speak_of(service: Service) -> None:
    """Not knowing whether it is closed is no reason to end a mapping."""
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    await who.log_in("budi@lain.example")
    await service.fault("company", "503_before")
    assert (503, "mbiz_unavailable") == said(await who.register())
    assert "mapped" == await who.status()


async def test_registering_into_a_company_that_came_to_serve_another_satker(service: Service) -> None:
    """A colleague of the lost account was faster elsewhere: a conflict, the satker is free, and all can read why."""
    who = await person(service, 1)
    await who.register("lost@baru.example")
    company_id = (await service.truth())["registrations"][0]["company_id"]
    colleague = await service.make_account("rekan@lain.example")
    await join_company(service, colleague["account_id"], company_id)
    assert MAPPED == said(await (await person(service, 2, 1)).log_in("rekan@lain.example"))
    assert (409, "company_already_mapped") == said(await who.register("lost@baru.example"))
    mapping = await who.mapping()
    assert ("unmapped", "company_already_mapped") == (mapping["status"], mapping["last_failure"]["code"])
    assert ["conflict", "mapped"] == [row.state for row in await attempts(service.database)]
    assert ("registration", "company_already_mapped") == (await told(service.database))[-1]
    assert [] == await violations(service.database, await service.truth())


async def test_registering_when_the_satker_is_changed_meanwhile(database_url: str, tmp_path: Path) -> None:
    """The form was filled in for a satker that is not there any more: not found, and nothing is sent."""
    wire = held(tmp_path, "/v1/companies/")
    async with serving(database_url, wire) as service:
        account = await service.make_account("budi@lain.example", "PT Budi")
        who = await person(service)
        await who.log_in("budi@lain.example")
        await close_company(service, account["companies"][0]["company_id"])
        call = asyncio.create_task(who.register())
        await wire.waiting.wait()
        assert 204 == (await who.unlink()).status_code
        assert 200 == (await who.patch(service.catalog[1])).status_code
        wire.send.set()
        assert (404, "satker_not_found") == said(await call)
        assert 0 == await sent(service)
