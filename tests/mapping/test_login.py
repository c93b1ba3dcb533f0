"""POST …/mapping/login: an account is proven with its password, and then the satker is mapped or joined."""

import asyncio
from pathlib import Path

import pytest

from tests.mapping.people import (
    accesses,
    attempts,
    close_company,
    join_company,
    on_sqlite,
    person,
    said,
    told,
)
from tests.mapping.wires import Held, held, serving
from tests.service import Service, statements_of

pytestmark = pytest.mark.anyio

MAPPED, AGAIN = (201, "mapped"), (200, "mapped")


async def test_logging_in(service: Service) -> None:
    """The satker is mapped to the account's only company; the access remembers which account it was."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    answer = await who.log_in("budi@lain.example")
    assert MAPPED == said(answer)
    company = {"company_id": account["companies"][0]["company_id"], "name": "PT Budi"}
    mapping = answer.json()
    at = mapping.pop("mapped_at")
    expected = {"satker_id": who.satker, "status": "mapped", "company": company, "via": "login"}
    assert expected | {"last_failure": None} == mapping
    assert at.endswith("Z")
    assert await who.mapping() == answer.json()
    assert [account["account_id"]] == [row.account_id for row in await accesses(service.database)]
    assert [("mapped", "ok")] == await told(service.database)


async def test_nothing_is_read_after_it_was_written(service: Service) -> None:
    """A database that is gone right after the commit hides from nobody that it worked; what is told is there."""
    await service.make_account("budi@lain.example", "PT Budi")
    account = await service.make_account("pp2@satker.example", "PT Dua")
    first, second = await person(service, 1), await person(service, 2, place=1)
    colleague = await person(service, 3)  # at the first one's satker
    seen = statements_of(service)
    confirmed = account["companies"][0]["company_id"]
    for who, ask in (
        (first, lambda: first.log_in("budi@lain.example")),
        (second, lambda: second.confirm(confirmed)),
        (colleague, lambda: colleague.log_in("budi@lain.example")),
    ):
        answer = await ask()
        assert MAPPED == said(answer)
        last = [statement for statement in seen if "COMMIT" not in statement][-1]
        assert "INSERT INTO history" in last
        assert await who.mapping() == answer.json()


async def test_logging_in_again(service: Service) -> None:
    """The same company is proven again: 200, and the access remembers the account that was proven last."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    colleague = await service.make_account("rekan@lain.example")
    await join_company(service, colleague["account_id"], account["companies"][0]["company_id"])
    who = await person(service)
    first = (await who.log_in("budi@lain.example")).json()
    assert AGAIN == said(await who.log_in(" BUDI@Lain.Example "))
    again = await who.log_in("rekan@lain.example")
    assert AGAIN == said(again)
    assert first == again.json()
    assert [colleague["account_id"]] == [row.account_id for row in await accesses(service.database)]
    assert "open_mbizmarket" == await who.step()


@on_sqlite
async def test_logging_in_with_a_wrong_password_or_an_unknown_email(service: Service) -> None:
    """Both are one answer, leave the satker as it was, and a row of the history."""
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    wrong = await who.log_in("budi@lain.example", "salah")
    unknown = await who.log_in("tidak.ada@lain.example")
    assert [(422, "invalid_credentials")] * 2 == [said(wrong), said(unknown)]
    assert wrong.json() | {"request_id": ""} == unknown.json() | {"request_id": ""}
    assert "unmapped" == await who.status()
    assert [("mapped", "invalid_credentials")] * 2 == await told(service.database)
    assert [] == await attempts(service.database)


@on_sqlite
async def test_logging_in_with_several_companies(service: Service) -> None:
    """The free active ones are offered; the choice is taken when the log in comes again with it."""
    account = await service.make_account("sari@lain.example", "PT A", "PT B", "PT C")
    ids = [company["company_id"] for company in account["companies"]]
    await close_company(service, ids[2])
    who = await person(service)
    asked = await who.log_in("sari@lain.example")
    assert (409, "company_choice_required") == said(asked)
    shown = [
        {"company_id": ids[n], "name": name, "city": "Bandung"} for n, name in enumerate(("PT A", "PT B"))
    ]
    assert shown == asked.json()["companies"]
    assert [] == await told(service.database)
    assert MAPPED == said(await who.log_in("sari@lain.example", company_id=ids[1]))


@on_sqlite
async def test_logging_in_with_one_free_company_among_several(service: Service) -> None:
    """What is closed or serves another satker is no choice, so nobody is asked."""
    account = await service.make_account("sari@lain.example", "PT A", "PT B", "PT C")
    ids = [company["company_id"] for company in account["companies"]]
    await close_company(service, ids[2])
    assert MAPPED == said(await (await person(service, 2, 1)).log_in("sari@lain.example", company_id=ids[0]))
    answer = await (await person(service)).log_in("sari@lain.example")
    assert (MAPPED, "PT B") == (said(answer), answer.json()["company"]["name"])


@on_sqlite
async def test_logging_in_for_a_company_that_cannot_be_mapped(service: Service) -> None:
    """Each reason has its own code, and each refusal its row."""
    account = await service.make_account("budi@lain.example", "PT Milik Lain", "PT Tutup", "PT Bebas")
    taken, closed, _ = (company["company_id"] for company in account["companies"])
    await close_company(service, closed)
    await service.make_account("kosong@lain.example")
    await (await person(service, 2, 1)).log_in("budi@lain.example", company_id=taken)
    who = await person(service)
    answers = [
        said(await who.log_in("budi@lain.example", company_id=taken)),
        said(await who.log_in("budi@lain.example", company_id=closed)),
        said(await who.log_in("budi@lain.example", company_id="C-tidak-ada")),
        said(await who.log_in("kosong@lain.example")),
    ]
    codes = ["company_already_mapped", "company_inactive", "company_not_found", "no_active_company"]
    assert list(zip([409, 409, 404, 409], codes, strict=True)) == answers
    assert [("mapped", code) for code in ["ok", *codes]] == await told(service.database)


@on_sqlite
async def test_logging_in_when_every_company_of_the_account_is_taken(service: Service) -> None:
    """Not "no active company": there is one, and it serves another satker."""
    await service.make_account("budi@lain.example", "PT Budi")
    assert MAPPED == said(await (await person(service, 2, 1)).log_in("budi@lain.example"))
    assert (409, "company_already_mapped") == said(await (await person(service)).log_in("budi@lain.example"))


async def test_logging_in_to_join_a_colleague(service: Service) -> None:
    """Any account of that company gets in, with no choice asked; how each came in is their own."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    second = await service.make_account("rekan@lain.example", "PT Lain")
    await join_company(service, second["account_id"], account["companies"][0]["company_id"])
    first = await person(service, 1)
    assert MAPPED == said(await first.log_in("budi@lain.example"))
    mine = await first.mapping()
    colleague = await person(service, 2)
    answer = await colleague.log_in("rekan@lain.example")
    assert (MAPPED, "PT Budi") == (said(answer), answer.json()["company"]["name"])
    assert mine == await first.mapping()
    assert mine["mapped_at"] < answer.json()["mapped_at"]
    assert [("mapped", "ok"), ("access_gained", "ok")] == await told(service.database)


async def test_joining_a_closed_company(service: Service) -> None:
    """Even an account of an inactive company proves who belongs to it."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    assert MAPPED == said(await (await person(service, 1)).log_in("budi@lain.example"))
    await close_company(service, account["companies"][0]["company_id"])
    assert MAPPED == said(await (await person(service, 2)).log_in("budi@lain.example"))


@on_sqlite
async def test_joining_with_an_account_of_another_company(service: Service) -> None:
    """Refused without a name, whatever else the account holds and asks for; the colleague loses nothing."""
    await service.make_account("budi@lain.example", "PT Budi")
    other = await service.make_account("orang@lain.example", "PT Lain")
    first, colleague = await person(service, 1), await person(service, 2)
    await first.log_in("budi@lain.example")
    company_id = other["companies"][0]["company_id"]
    for answer in (
        await colleague.log_in("orang@lain.example"),
        await colleague.log_in("orang@lain.example", company_id=company_id),
    ):
        assert (409, "satker_already_mapped") == said(answer)
        assert "Budi" not in answer.text
    assert ["mapped", "mapped_by_other"] == [await first.status(), await colleague.status()]


@on_sqlite
async def test_logging_in_with_another_company_where_one_is_mapped(service: Service) -> None:
    """The mapping stays: only a company that mbizmarket itself has closed can be replaced."""
    await service.make_account("budi@lain.example", "PT Budi")
    await service.make_account("orang@lain.example", "PT Lain")
    who = await person(service)
    await who.log_in("budi@lain.example")
    assert (409, "satker_already_mapped") == said(await who.log_in("orang@lain.example"))
    assert "PT Budi" == (await who.mapping())["company"]["name"]


@pytest.mark.parametrize("gone", [False, True])
async def test_replacing_a_company_that_is_closed_or_gone(service: Service, gone: bool) -> None:
    """The old mapping and every access to it end where the new one begins; the colleague is back to nothing shown."""
    old = await service.make_account("lama@lain.example", "PT Lama")
    await service.make_account("baru@lain.example", "PT Baru")
    who, colleague = await person(service, 1), await person(service, 2)
    for each in (who, colleague):
        assert MAPPED == said(await each.log_in("lama@lain.example"))
    company_id = old["companies"][0]["company_id"]
    if gone:
        await service.mbiz.delete(f"/sandbox/companies/{company_id}")
    else:
        await close_company(service, company_id)
    answer = await who.log_in("baru@lain.example")
    assert (MAPPED, "PT Baru") == (said(answer), answer.json()["company"]["name"])
    assert ["mapped", "mapped_by_other"] == [await who.status(), await colleague.status()]
    assert ["removed", "mapped"] == [row.state for row in await attempts(service.database)]
    rows = [("access_ended", "ok"), ("access_ended", "ok"), ("unmapped", "ok"), ("mapped", "ok")]
    assert rows == (await told(service.database))[2:]


@on_sqlite
async def test_logging_in_while_mbizmarket_cannot_say_whether_the_company_is_closed(service: Service) -> None:
    """Not knowing is no reason to end a mapping: 503, and everything stays."""
    old = await service.make_account("lama@lain.example", "PT Lama")
    await service.make_account("baru@lain.example", "PT Baru")
    who = await person(service)
    await who.log_in("lama@lain.example")
    await service.mbiz.delete(f"/sandbox/companies/{old['companies'][0]['company_id']}")
    await service.fault("company", "503_before")
    assert (503, "mbiz_unavailable") == said(await who.log_in("baru@lain.example"))
    assert "PT Lama" == (await who.mapping())["company"]["name"]


@on_sqlite
async def test_logging_in_where_the_same_company_was_closed(service: Service) -> None:
    """There is nothing new to map, and a closed one is not mapped anew."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    company_id = account["companies"][0]["company_id"]
    who = await person(service)
    await who.log_in("budi@lain.example")
    await close_company(service, company_id)
    assert (409, "no_active_company") == said(await who.log_in("budi@lain.example"))
    assert (409, "company_inactive") == said(await who.log_in("budi@lain.example", company_id=company_id))
    assert "mapped" == await who.status()


async def test_logging_in_after_the_company_was_renamed(service: Service) -> None:
    """Ids are the keys; the name follows mbizmarket's."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    await who.log_in("budi@lain.example")
    path = f"/sandbox/companies/{account['companies'][0]['company_id']}"
    await service.mbiz.post(path, json={"name": "PT Budi Jaya"})
    assert AGAIN == said(await who.log_in("budi@lain.example"))
    assert "PT Budi Jaya" == (await who.mapping())["company"]["name"]


@on_sqlite
async def test_logging_in_as_an_unverified_account(service: Service) -> None:
    """It is never offered by e-mail, but who has its password may use it."""
    await service.make_account("bella@lain.example", "PT Bella", email_verified=False)
    assert MAPPED == said(await (await person(service)).log_in("bella@lain.example"))


@on_sqlite
async def test_logging_in_to_a_locked_account(service: Service) -> None:
    """mbizmarket's lock is passed on with its own time to wait; it leaves no row, as all that is throttled."""
    await service.make_account("budi@lain.example", "PT Budi")
    token = await service.mbiz.post(
        "/oauth/token", auth=("satu-pp", "client-secret"), data={"grant_type": "client_credentials"}
    )
    bearer = {"Authorization": f"Bearer {token.json()['access_token']}"}
    for _ in range(10):
        wrong = {"email": "budi@lain.example", "password": "salah"}
        await service.mbiz.post("/v1/login", json=wrong, headers=bearer)
    answer = await (await person(service)).log_in("budi@lain.example")
    assert (429, "too_many_attempts") == said(answer)
    assert 890 <= int(answer.headers["Retry-After"]) <= 900
    assert [] == await told(service.database)


@on_sqlite
async def test_logging_in_at_somebody_elses_satker(service: Service) -> None:
    """Another PP's satker answers as one that does not exist, and mbizmarket is not asked."""
    await service.make_account("budi@lain.example", "PT Budi")
    other = await person(service, 2)
    answer = await type(other)(service, other.satker, (await person(service, 1)).headers).log_in(
        "budi@lain.example"
    )
    assert (404, "satker_not_found") == said(answer)
    assert 0 == (await service.truth())["requests"]["login"]


async def test_logging_in_while_ones_registration_is_under_way_or_uncertain(service: Service) -> None:
    """As another e-mail: in progress, and nothing is sent. As that e-mail: once uncertain, it is finished."""
    await service.make_account("lain@lain.example", "PT Lain")
    who = await person(service)
    assert (202, "checking") == said(await who.register("lost@baru.example"))
    other = await who.log_in("lain@lain.example")
    assert (409, "link_in_progress") == said(other)
    assert 0 == (await service.truth())["requests"]["login"]
    done = await who.log_in("LOST@baru.example")
    assert (MAPPED, "register") == (said(done), done.json()["via"])
    registrations = (await service.truth())["registrations"]
    assert [(row["reference"], row["account_id"]) for row in registrations] == [
        (row.id, row.account_id) for row in await attempts(service.database)
    ]


async def test_logging_in_at_another_satker_with_the_email_of_an_open_registration(service: Service) -> None:
    """Its account is linked to no other satker meanwhile; that is said only to who has proven it."""
    who, elsewhere = await person(service, 1, 0), await person(service, 2, 1)
    await who.register("lost@baru.example")
    assert (422, "invalid_credentials") == said(await elsewhere.log_in("lost@baru.example", "salah"))
    answer = await elsewhere.log_in("lost@baru.example")
    assert (409, "link_in_progress") == said(answer)
    assert MAPPED == said(await who.log_in("lost@baru.example"))
    assert (409, "company_already_mapped") == said(await elsewhere.log_in("lost@baru.example"))


@on_sqlite
async def test_logging_in_elsewhere_with_the_email_as_mbizmarket_writes_it(service: Service) -> None:
    """Compared in ASCII these are two addresses; the account that is proven has the one that is being registered."""
    who, elsewhere = await person(service, 1, 0), await person(service, 2, 1)
    assert (202, "checking") == said(await who.register("lost+kantor@baru.example"))
    answer = await elsewhere.log_in("lost+\N{KELVIN SIGN}antor@baru.example")
    assert (409, "link_in_progress") == said(answer)
    assert 1 == (await service.truth())["requests"]["login"]


@pytest.fixture
def wire(tmp_path: Path) -> Held:
    return held(tmp_path, "/v1/login")


async def test_losing_the_satker_while_the_proof_is_in_flight(database_url: str, wire: Held) -> None:
    """Removed or changed meanwhile: not found, and the account is tied to nothing."""
    async with serving(database_url, wire) as service:
        await service.make_account("budi@lain.example", "PT Budi")
        removed, changed = await person(service, 1, 0), await person(service, 2, 0)
        calls = [asyncio.create_task(each.log_in("budi@lain.example")) for each in (removed, changed)]
        await wire.waiting.wait()
        assert 204 == (await removed.remove()).status_code
        assert 200 == (await changed.patch(service.catalog[1])).status_code
        wire.send.set()
        assert [(404, "satker_not_found")] * 2 == [said(await call) for call in calls]
        assert [] == await attempts(service.database)
        assert [] == await told(service.database)


async def test_being_overtaken_while_the_proof_is_in_flight(database_url: str, wire: Held) -> None:
    """The proof is judged on what is there now: the colleague's mapping is joined, or it is in the way."""
    async with serving(database_url, wire) as service:
        account = await service.make_account("budi@lain.example", "PT Budi")
        await service.make_account("lain@lain.example", "PT Lain")
        await service.make_account("pp3@satker.example")
        mine = (await service.truth())["accounts"][-1]["account_id"]
        await join_company(service, mine, account["companies"][0]["company_id"])
        who, other, fast = [await person(service, n) for n in (1, 2, 3)]
        slow = [
            asyncio.create_task(who.log_in("budi@lain.example")),
            asyncio.create_task(other.log_in("lain@lain.example")),
        ]
        await wire.waiting.wait()
        assert MAPPED == said(await fast.confirm(account["companies"][0]["company_id"]))
        wire.send.set()
        assert [MAPPED, (409, "satker_already_mapped")] == [said(await call) for call in slow]


async def test_a_registration_that_begins_while_the_proof_is_in_flight(database_url: str, wire: Held) -> None:
    """It holds the satker: the proof comes too late, and its company stays free."""
    async with serving(database_url, wire) as service:
        await service.make_account("budi@lain.example", "PT Budi")
        who = await person(service)
        slow = asyncio.create_task(who.log_in("budi@lain.example"))
        await wire.waiting.wait()
        assert (202, "checking") == said(await who.register("lost@baru.example"))
        wire.send.set()
        assert (409, "link_in_progress") == said(await slow)
