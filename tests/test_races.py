"""Many at once, on both databases: one account at mbizmarket, one winner, no 5xx, and every promise kept."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from app.mapping import ending, settling
from app.mapping import standing as standings
from app.models import CatalogSatker
from app.satker import store as satkers
from sqlalchemy import insert

from tests.invariants import violations
from tests.mapping.people import attempts, close_company, end_leases, join_company, person, said
from tests.mapping.wires import Held, at_the_lock, held, replica, serving
from tests.service import Service

pytestmark = pytest.mark.anyio

MANY = 16
MAPPED, JOINED_IN = (201, "mapped"), (200, "mapped")
CHECKING, IN_PROGRESS = (202, "checking"), (409, "link_in_progress")


@pytest.fixture
def wire(tmp_path: Path) -> Held:
    """To a sandbox mbizmarket; no registration gets through before `send` is set."""
    return held(tmp_path)


@pytest.fixture
async def market(database_url: str, wire: Held) -> AsyncIterator[Service]:
    """The service over that wire."""
    async with serving(database_url, wire) as service:
        yield service
        assert [] == await violations(service.database, await service.truth())


async def more_satkers(service: Service, count: int) -> list[str]:
    """Catalog satkers that no other round has touched."""
    ids = [uuid4().hex for _ in range(count)]
    common = {"klpd_code": "K1", "code": None, "active": True}
    rows = [{"id": each, "name": each, "kd_satker": each, "search": each, **common} for each in ids]
    async with service.database.begin() as tx:
        await tx.execute(insert(CatalogSatker), rows)
    return ids


def outcomes(answers: Sequence[httpx.Response]) -> Counter[tuple[int, str]]:
    return Counter(map(said, answers))


async def made(service: Service) -> int:
    """How many accounts mbizmarket has made for us."""
    return len((await service.truth())["registrations"])


async def all_but_one(calls: Sequence[asyncio.Task[httpx.Response]]) -> list[httpx.Response]:
    """The answers of all that do not wait for mbizmarket."""
    waiting = set(calls)
    while len(waiting) > 1:
        _, waiting = await asyncio.wait(waiting, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    return [call.result() for call in calls if call.done()]


@pytest.mark.parametrize("people", [1, MANY])
async def test_registering_one_satker_with_many_emails_at_once(
    market: Service, wire: Held, people: int
) -> None:
    """One tab or one PP wins; the others are told at once that it is being worked on; one account is made."""
    for turn, catalog_id in enumerate(await more_satkers(market, 3)):
        wire.send.clear()
        numbers = range(turn * MANY, turn * MANY + people)
        who = [await person(market, number, catalog_id) for number in numbers] * (MANY // people)
        emails = (f"{turn}-{n}@baru.example" for n in range(MANY))
        calls = [asyncio.create_task(each.register(email)) for each, email in zip(who, emails, strict=True)]
        refused = await all_but_one(calls)
        wire.send.set()
        assert {IN_PROGRESS: MANY - 1} == outcomes(refused)
        assert {MAPPED: 1, IN_PROGRESS: MANY - 1} == outcomes(await asyncio.gather(*calls))
        assert turn + 1 == await made(market)


async def test_registering_with_one_email_many_times_at_once(market: Service, wire: Held) -> None:
    """A double click, sixteen fold: one account, and every answer is that it is done or under way."""
    for turn, catalog_id in enumerate(await more_satkers(market, 2)):
        wire.send.clear()
        who = await person(market, turn, catalog_id)
        calls = [asyncio.create_task(who.register(f"Sama-{turn}@baru.example")) for _ in range(MANY)]
        others = await all_but_one(calls)
        wire.send.set()
        assert {CHECKING: MANY - 1} == outcomes(others)
        assert {CHECKING: MANY - 1, MAPPED: 1} == outcomes(await asyncio.gather(*calls))
        assert turn + 1 == await made(market)


async def test_registering_with_one_email_many_times_as_it_comes(service: Service) -> None:
    """The same with nobody held up: whoever comes late finds it mapped."""
    for turn, catalog_id in enumerate(await more_satkers(service, 3)):
        who = await person(service, turn, catalog_id)
        calls = (who.register(f"sama-{turn}@baru.example") for _ in range(MANY))
        answers = outcomes(await asyncio.gather(*calls))
        assert {MAPPED, JOINED_IN, CHECKING} >= answers.keys()
        assert answers[MAPPED] == 1
        assert turn + 1 == await made(service)
    await check(service)


@pytest.mark.parametrize("lag", [0, 60])
async def test_repeating_an_uncertain_registration_many_times_at_once(service: Service, lag: int) -> None:
    """The lost answer is found, or else sent for again, by many tabs together: one account, and it ends mapped."""
    for turn, catalog_id in enumerate(await more_satkers(service, 2)):
        who = await person(service, turn, catalog_id)
        if lag:
            await service.fault("register", "lag", seconds=lag)
        assert CHECKING == said(await who.register(f"lost+{turn}@baru.example"))
        calls = (who.register(f"lost+{turn}@baru.example") for _ in range(MANY))
        answers = outcomes(await asyncio.gather(*calls))
        assert {MAPPED, JOINED_IN, CHECKING} >= answers.keys()
        assert answers[MAPPED] == 1
        assert turn + 1 == await made(service)
    await check(service)


async def test_registering_one_email_for_many_satkers_at_once(market: Service, wire: Held) -> None:
    """An e-mail is registered for one satker at a time, whoever asks."""
    for turn in range(2):
        wire.send.clear()
        places = enumerate(await more_satkers(market, 8))
        who = [await person(market, turn * 8 + n % 2, catalog_id) for n, catalog_id in places]
        calls = [asyncio.create_task(each.register(f"satu-{turn}@baru.example")) for each in who]
        refused = await all_but_one(calls)
        wire.send.set()
        assert {IN_PROGRESS: 7} == outcomes(refused)
        assert {IN_PROGRESS: 7, MAPPED: 1} == outcomes(await asyncio.gather(*calls))


async def test_two_pps_logging_in_with_their_own_companies_at_once(service: Service) -> None:
    """One satker gets one company; whoever comes second is refused without a name."""
    for turn, catalog_id in enumerate(await more_satkers(service, 4)):
        emails = [f"akun{n}-{turn}@lain.example" for n in (0, 1)]
        for email in emails:
            await service.make_account(email, f"PT {email}")
        who = [await person(service, n, catalog_id) for n in (0, 1)]
        answers = await asyncio.gather(*(who[n].log_in(emails[n]) for n in (0, 1)))
        assert {MAPPED: 1, (409, "satker_already_mapped"): 1} == outcomes(answers)
    await check(service)


async def test_two_pps_logging_in_with_one_company_at_once(service: Service) -> None:
    """Colleagues who map the same satker together both get in: one maps, the other joins."""
    for turn, catalog_id in enumerate(await more_satkers(service, 4)):
        await service.make_account(f"akun-{turn}@lain.example", f"PT {turn}")
        who = [await person(service, n, catalog_id) for n in (0, 1)]
        answers = await asyncio.gather(*(each.log_in(f"akun-{turn}@lain.example") for each in who))
        assert {MAPPED: 2} == outcomes(answers)
    await check(service)


async def test_logging_in_twice_at_once(service: Service) -> None:
    """A double click maps once and is told so twice."""
    for turn, catalog_id in enumerate(await more_satkers(service, 4)):
        await service.make_account(f"akun-{turn}@lain.example", f"PT {turn}")
        who = await person(service, turn, catalog_id)
        answers = await asyncio.gather(*(who.log_in(f"akun-{turn}@lain.example") for _ in range(2)))
        assert {MAPPED: 1, JOINED_IN: 1} == outcomes(answers)
    await check(service)


async def test_two_pps_replacing_a_closed_company_at_once(service: Service) -> None:
    """One new company, by log in or by registration; who comes second is refused, and had no access left."""
    for turn, catalog_id in enumerate(await more_satkers(service, 4)):
        old = await service.make_account(f"lama-{turn}@lain.example", "PT Lama")
        await service.make_account(f"ada-{turn}@lain.example", "PT Ada")
        who = [await person(service, n, catalog_id) for n in (0, 1)]
        for each in who:
            assert MAPPED == said(await each.log_in(old["email"]))
        await close_company(service, old["companies"][0]["company_id"])
        if turn % 2:
            await service.make_account(f"baru-{turn}@lain.example", "PT Baru")
        rival = who[1].log_in if turn % 2 else who[1].register
        calls = [who[0].log_in(f"ada-{turn}@lain.example"), rival(f"baru-{turn}@lain.example")]
        answers = outcomes(await asyncio.gather(*calls))
        assert 1 == answers[MAPPED]
        assert 1 == answers[409, "satker_already_mapped"] + answers[IN_PROGRESS]
        await check(service)


async def test_mapping_one_company_to_many_satkers_at_once(service: Service) -> None:
    """One satker gets it, the others are told that it is taken; nobody gets a 500."""
    emails = await accounts_of_one_company(service)
    places = enumerate(await more_satkers(service, MANY))
    who = [await person(service, n, catalog_id) for n, catalog_id in places]
    calls = (each.log_in(email) for each, email in zip(who, emails, strict=True))
    answers = await asyncio.gather(*calls)
    assert {MAPPED: 1, (409, "company_already_mapped"): MANY - 1} == outcomes(answers)
    await check(service)


async def test_joining_while_the_last_accesses_end(service: Service) -> None:
    """Who joins gets a mapping that lives: the old one in time, or a new one; nobody keeps one that ended."""
    emails, half = await accounts_of_one_company(service), MANY // 2
    for catalog_id in await more_satkers(service, 2):
        who = [await person(service, n, catalog_id) for n in range(MANY)]
        leaving, joining = who[:half], who[half:]
        for each, email in zip(leaving, emails[:half], strict=True):
            assert MAPPED == said(await each.log_in(email))
        joins = (each.log_in(email) for each, email in zip(joining, emails[half:], strict=True))
        answers = await asyncio.gather(*(each.unlink() for each in leaving), *joins)
        assert {(204, ""): half, MAPPED: half} == outcomes(answers)
        assert {"mapped": half} == Counter([await each.status() for each in joining])
        await check(service)
        assert {(204, ""): half} == outcomes(await asyncio.gather(*(each.unlink() for each in joining)))
        await check(service)


async def accounts_of_one_company(service: Service) -> list[str]:
    """The e-mails of MANY colleagues; log-ins with one e-mail at once would be taken for guessing."""
    emails = [f"rekan-{n}@lain.example" for n in range(MANY)]
    first = await service.make_account(emails[0], "PT Bersama")
    for email in emails[1:]:
        colleague = await service.make_account(email)
        await join_company(service, colleague["account_id"], first["companies"][0]["company_id"])
    return emails


async def test_replacing_a_closed_company_while_colleagues_leave_and_join(service: Service) -> None:
    """The old mapping ends once, whoever ends it, and with it every access; each is told once in the history."""
    for turn, catalog_id in enumerate(await more_satkers(service, 5)):
        old = await service.make_account(f"lama-{turn}@lain.example", "PT Lama")
        await service.make_account(f"baru-{turn}@lain.example", "PT Baru")
        who = [await person(service, n, catalog_id) for n in range(3)]
        for each in who[:2]:
            assert MAPPED == said(await each.log_in(old["email"]))
        await close_company(service, old["companies"][0]["company_id"])
        replaced, left, joined = await asyncio.gather(
            who[0].log_in(f"baru-{turn}@lain.example"), who[1].unlink(), who[2].log_in(old["email"])
        )
        assert [MAPPED, (204, "")] == [said(replaced), said(left)]
        # Joined in time, and told what is true when the answer is written: by then it may be replaced.
        assert said(joined) in [MAPPED, (201, "mapped_by_other"), (409, "satker_already_mapped")]
        await check(service)


async def test_removing_the_satker_while_registering_it(service: Service) -> None:
    """Either the registration holds the satker, or the satker is gone and nothing was sent."""
    for turn, catalog_id in enumerate(await more_satkers(service, 4)):
        who = await person(service, turn, catalog_id)
        before = await made(service)
        calls = [who.register(f"hapus-{turn}@baru.example"), who.remove(unlink=True)]
        answers = outcomes(await asyncio.gather(*(calls if turn % 2 else calls[::-1])))
        if answers[404, "satker_not_found"]:
            assert {(404, "satker_not_found"): 1, (204, ""): 1} == answers
            # Never sent, or done and ended again before its answer was written.
            left = [row.state for row in await attempts(service.database) if row.satker_id == who.satker]
            assert left == ["removed"] * (await made(service) - before)
        else:
            assert answers[MAPPED] or answers[JOINED_IN]
            assert {MAPPED, IN_PROGRESS, (204, "")} >= answers.keys()
    await check(service)


async def test_writing_while_many_write(sqlite_service: Service) -> None:
    """SQLite has one writer: who comes first is next, and nobody starves behind those who came later."""
    order = []

    async def write(number: int) -> None:
        async with sqlite_service.database.begin():
            order.append(number)
            await asyncio.sleep(0.02)  # longer than SQLite itself would wait before it looks again

    await asyncio.gather(*map(write, range(MANY)))
    assert [*range(MANY)] == order


async def test_unlinking_at_the_moment_when_a_colleague_replaces_the_company(service: Service) -> None:
    """Who waits for the mapping that is being ended finds nothing left to end, and tells nothing twice."""
    await service.make_account("bersama@lain.example", "PT Bersama")
    who, colleague = [await person(service, n) for n in (1, 2)]
    for each in (who, colleague):
        await each.log_in("bersama@lain.example")
    async with replica(service) as other, other.begin() as tx:
        standing = await standings.lock(tx, "pp-1", who.satker)
        assert standing.live is not None
        assert await ending.end_mapping(tx, "pp-1", standing.row, standing.live.id)
        leaving = await at_the_lock(service, colleague.unlink())
    assert (204, "") == said(await leaving)
    await check(service)


async def test_registering_at_the_moment_when_the_satker_is_changed(service: Service) -> None:
    """Who waits for the satker finds another one in its place: not found, and nothing is sent."""
    who = await person(service)
    async with replica(service) as other, other.begin() as tx:
        row = await satkers.lock(tx, "pp-1", who.satker)
        await satkers.change(tx, "pp-1", row, service.catalog[1])
        late = await at_the_lock(service, who.register())
    assert (404, "satker_not_found") == said(await late)
    assert 0 == await made(service)


async def test_settling_from_everywhere_while_the_request_is_under_way(market: Service, wire: Held) -> None:
    """A lease that ran out too early lets sixteen settles race the live request: one question, one mapping."""
    wire.send.set()
    for turn, catalog_id in enumerate(await more_satkers(market, 2)):
        wire.waiting.clear()
        wire.answer.clear()
        who = await person(market, turn, catalog_id)
        live = asyncio.create_task(who.register(f"balap-{turn}@baru.example"))
        await wire.waiting.wait()
        assert 1 == await end_leases(market.database)
        rounds = asyncio.gather(*(settling.settle(market.context) for _ in range(MANY)))
        wire.answer.set()
        assert 1 >= sum(await rounds)
        assert said(await live) in (MAPPED, JOINED_IN)
        assert turn + 1 == await made(market)


async def test_settling_from_everywhere_at_once(service: Service) -> None:
    """Sixteen rounds ask about each registration once, and together finish them all."""
    who = [
        await person(service, turn, catalog_id)
        for turn, catalog_id in enumerate(await more_satkers(service, 4))
    ]
    for turn, each in enumerate(who):
        assert CHECKING == said(await each.register(f"lost+{turn}@baru.example"))
    assert 4 == sum(await asyncio.gather(*(settling.settle(service.context) for _ in range(MANY))))
    assert ["mapped"] * 4 == [await each.status() for each in who]
    await check(service)


async def test_settling_while_the_person_tries_again(service: Service) -> None:
    """A repeat, a log in and a settle meet over one lost answer: it is mapped once."""
    for turn, catalog_id in enumerate(await more_satkers(service, 3)):
        who = await person(service, turn, catalog_id)
        assert CHECKING == said(await who.register(f"lost+{turn}@baru.example"))
        again, inside, asked = await asyncio.gather(
            who.register(f"lost+{turn}@baru.example"),
            who.log_in(f"lost+{turn}@baru.example"),
            settling.settle(service.context),
        )
        assert said(again) in (MAPPED, JOINED_IN, CHECKING)
        assert said(inside) in (MAPPED, JOINED_IN, IN_PROGRESS)
        assert asked in (0, 1)
        assert "mapped" == await who.status()
    await check(service)


async def check(service: Service) -> None:
    assert [] == await violations(service.database, await service.truth())
