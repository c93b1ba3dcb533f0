"""Finding out what became of a registration: by evidence alone, whoever asks, and however often."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from app.mapping import settling, transitions
from app.mapping import standing as standings
from app.models import Attempt
from sqlalchemy import update

from tests.conftest import fill_catalog
from tests.invariants import violations
from tests.mapping.people import (
    attempts,
    end_leases,
    history,
    join_company,
    on_sqlite,
    person,
    said,
    told,
)
from tests.mapping.wires import held, serving
from tests.service import Service, running

pytestmark = pytest.mark.anyio

MAPPED, CHECKING = (201, "mapped"), (202, "checking")


async def settle(service: Service) -> int:
    """As the command does it: at once, whatever the backoff."""
    return await settling.settle(service.context, whatever_the_backoff=True)


async def put_back(service: Service, **moments: timedelta) -> None:
    """Moves times of every attempt into the past."""
    for row in await attempts(service.database):
        times: dict[str, datetime] = {name: getattr(row, name) - by for name, by in moments.items()}
        async with service.database.begin() as tx:
            await tx.execute(update(Attempt).where(Attempt.id == row.id).values(times))


async def test_settling_a_lost_answer(service: Service) -> None:
    """mbizmarket has the reference: mapped, and the history says that the service found out."""
    who = await person(service)
    assert CHECKING == said(await who.register("lost@baru.example"))
    assert 1 == await settle(service)
    mapping = await who.mapping()
    assert ("mapped", "register", None) == tuple(mapping[key] for key in ("status", "via", "last_failure"))
    rows = [(row.event, row.outcome, row.actor) for row in await history(service.database)][1:]
    assert [("registration", "uncertain", "pp"), ("mapped", "ok", "system")] == rows[-2:]
    assert 0 == await settle(service)
    assert [] == await violations(service.database, await service.truth())


async def test_settling_what_never_arrived(service: Service) -> None:
    """One "no such reference" means nothing, nor do two; the third frees the satker and says why."""
    who = await person(service)
    await service.fault("register", "503_before")
    await who.register()
    for expected in ("checking", "checking", "unmapped"):
        assert 1 == await settle(service)
        assert expected == await who.status()
    assert "never_arrived" == (await who.mapping())["last_failure"]["code"]
    assert ("registration", "never_arrived") == (await told(service.database))[-1]
    assert MAPPED == said(await who.register())
    assert None is (await who.mapping())["last_failure"]


async def test_settling_within_the_grace_period(sqlite_url: str, tmp_path: Path) -> None:
    """However often it is said: mbizmarket's look-up may lag, so only time makes "no such reference" true."""
    async with running(sqlite_url, tmp_path, settle_grace_seconds=30) as service:
        service.catalog = await fill_catalog(service.database)
        who = await person(service)
        await service.fault("register", "503_before")
        await who.register()
        for _ in range(5):
            await settle(service)
        assert "checking" == await who.status()
        await put_back(service, not_found_since=timedelta(seconds=31))
        await settle(service)
        assert "unmapped" == await who.status()


@on_sqlite
async def test_settling_counts_anew_after_a_repeat(service: Service) -> None:
    """What was said before the registration was sent again says nothing about the second send."""
    who = await person(service)
    await service.fault("register", "503_before", times=2)
    await who.register()
    for _ in range(2):
        await settle(service)
    assert CHECKING == said(await who.register())
    for expected in ("checking", "checking", "unmapped"):
        await settle(service)
        assert expected == await who.status()


@on_sqlite
async def test_settling_while_it_is_sent_again(database_url: str, tmp_path: Path) -> None:
    """A "not found" that was asked for before says nothing about what has been sent since: it is not counted."""
    wire = held(tmp_path, "/v1/registrations/")
    async with serving(database_url, wire) as service:
        who = await person(service)
        await service.fault("register", "503_before")
        assert CHECKING == said(await who.register())
        asking = asyncio.create_task(settle(service))
        await wire.waiting.wait()
        (row,) = await attempts(service.database)
        async with service.database.begin() as tx:
            standing = await standings.lock(tx, "pp-1", who.satker)
            assert await transitions.call_again(tx, standing, attempt_id=row.id, sends=1, lease_seconds=60)
        wire.send.set()
        assert 1 == await asking
        (row,) = await attempts(service.database)
        assert ("calling", 0) == (row.state, row.not_found)


async def test_settling_when_the_lookup_lags(service: Service) -> None:
    """Not found, and then found: mapped, not failed."""
    who = await person(service)
    await who.register("lost@baru.example")
    await service.fault("find_registration", "lag", seconds=60, times=2)
    for expected in ("checking", "checking", "mapped"):
        await settle(service)
        assert expected == await who.status()


async def test_settling_takes_its_time(service: Service) -> None:
    """At once the first time, then later and later; a repeat makes it soon again."""
    who = await person(service)
    await service.fault("register", "503_before", times=2)
    await who.register()
    for low, high in ((4, 6), (8, 12)):
        began = datetime.now(UTC)
        assert [1, 0] == [await settling.settle(service.context) for _ in range(2)]
        (row,) = await attempts(service.database)
        assert low <= (row.ask_at - began).total_seconds() <= high + 3
        await put_back(service, ask_at=timedelta(minutes=1))
    await who.register()
    assert 1 == await settling.settle(service.context)


def test_backing_off() -> None:
    """From five seconds to five minutes, doubling; a fifth more or less, so that no crowd comes back at once."""
    for asks, seconds in ((0, 5), (1, 10), (3, 40), (6, 300), (1000, 300)):
        drawn = [settling.backoff(asks) for _ in range(200)]
        assert 0.8 * seconds <= min(drawn) < 0.9 * seconds
        assert 1.1 * seconds < max(drawn) <= 1.2 * seconds


@on_sqlite
async def test_settling_many(service: Service) -> None:
    """One after the other, with a pause: a crowd of lost answers is no flood for mbizmarket."""
    people = [await person(service, 1, place) for place in range(4)]
    for n, who in enumerate(people):
        await who.register(f"lost+{n}@baru.example")
    began = time.monotonic()
    assert 4 == await settle(service)
    assert time.monotonic() - began >= 4 * settling.PAUSE


async def test_settling_what_was_left_under_way(database_url: str, tmp_path: Path) -> None:
    """A process died with the answer: nothing is asked within the lease; after it, as with any lost answer.

    Asking makes it uncertain and does not start the waiting times anew.
    """
    wire = held(tmp_path)
    wire.send.set()
    wire.answer.clear()
    async with serving(database_url, wire) as service:
        who = await person(service)
        call = asyncio.create_task(who.register())
        await wire.arrived.wait()
        call.cancel()
        await asyncio.wait([call])
        assert 0 == await settle(service)
        assert 1 == await end_leases(service.database)
        await service.fault("find_registration", "lag", seconds=60)
        assert [1, 0] == [await settling.settle(service.context) for _ in range(2)]
        assert 1 == await settle(service)
        assert "mapped" == await who.status()
        expected = [("registration", "uncertain"), ("mapped", "ok")]
        assert expected == await told(service.database)
        assert [] == await violations(service.database, await service.truth())


async def test_settling_while_mbizmarket_is_away(service: Service) -> None:
    """Nothing is concluded, and nothing more is asked in that round."""
    people = [await person(service, 1, place) for place in range(3)]
    for n, who in enumerate(people):
        await who.register(f"lost+{n}@baru.example")
    await service.fault("find_registration", "503_before")
    assert 1 == await settle(service)
    assert ["checking"] * 3 == [await who.status() for who in people]
    assert 3 == await settle(service)
    assert ["mapped"] * 3 == [await who.status() for who in people]


@on_sqlite
async def test_settling_past_an_answer_of_no_use(service: Service) -> None:
    """What mbizmarket garbles about one registration keeps no other waiting."""
    people = [await person(service, 1, place) for place in range(2)]
    for n, who in enumerate(people):
        await who.register(f"lost+{n}@baru.example")
    await service.fault("find_registration", "html_200")
    assert 2 == await settle(service)
    assert ["checking", "mapped"] == sorted([await who.status() for who in people])


@pytest.mark.parametrize("fault", ["other_email", "other_reference"])
async def test_settling_on_an_answer_about_something_else(sqlite_service: Service, fault: str) -> None:
    """Only our reference with the e-mail that was registered is evidence."""
    who = await person(sqlite_service)
    await who.register("lost@baru.example")
    await sqlite_service.fault("find_registration", fault)
    await settle(sqlite_service)
    assert "checking" == await who.status()


@on_sqlite
async def test_settling_after_the_email_was_changed_at_mbizmarket(service: Service) -> None:
    """It may be anybody's by now: it stays open for an operator, however often it is asked about."""
    who = await person(service)
    await who.register("lost@baru.example")
    made = (await service.truth())["registrations"][0]
    await service.mbiz.post(f"/sandbox/accounts/{made['account_id']}", json={"email": "lain@lain.example"})
    for _ in range(4):
        await settle(service)
    assert "checking" == await who.status()
    await put_back(service, created_at=timedelta(hours=2))
    assert 1 == await settling.count_overdue(service.context)


async def test_settling_into_a_conflict(service: Service) -> None:
    """The company came to serve another satker: in conflict, told to the PP, and the satker is free."""
    who = await person(service, 1)
    await who.register("lost@baru.example")
    company_id = (await service.truth())["registrations"][0]["company_id"]
    colleague = await service.make_account("rekan@lain.example")
    await join_company(service, colleague["account_id"], company_id)
    assert MAPPED == said(await (await person(service, 2, 1)).log_in("rekan@lain.example"))
    await settle(service)
    mapping = await who.mapping()
    assert ("unmapped", "company_already_mapped") == (mapping["status"], mapping["last_failure"]["code"])
    assert ["conflict", "mapped"] == [row.state for row in await attempts(service.database)]
    assert [] == await violations(service.database, await service.truth())


async def never_arrived(service: Service) -> str:
    """The reference of a registration that was freed, though mbizmarket has it: its look-up lags very much."""
    who = await person(service)
    assert CHECKING == said(await who.register("lost@baru.example"))
    await service.fault("find_registration", "lag", seconds=60, times=3)
    for _ in range(3):
        await settle(service)
    assert "unmapped" == await who.status()
    return str((await attempts(service.database))[0].id)


async def test_settling_what_turns_up_late(service: Service) -> None:
    """A reported orphan, with the company that it has; the satker stays free, and its e-mail can log in."""
    reference = await never_arrived(service)
    assert 0 == await settling.settle(service.context)
    await put_back(service, ask_at=timedelta(minutes=16))
    assert 1 == await settling.settle(service.context)
    (row,) = await attempts(service.database)
    made = (await service.truth())["registrations"][0]
    assert ("orphan", reference) == (row.state, made["reference"])
    assert (made["account_id"], made["company_id"]) == (row.account_id, row.company_id)
    last = (await history(service.database))[-1]
    assert ("registration", "orphan", "system") == (last.event, last.outcome, last.actor)
    assert 0 == await settle(service)
    who = await person(service, 2)
    assert (409, "email_taken") == said(await who.register("lost@baru.example"))
    assert MAPPED == said(await who.log_in("lost@baru.example"))
    assert [] == await violations(service.database, await service.truth())


@on_sqlite
async def test_settling_for_a_day(service: Service) -> None:
    """What was freed is asked about every quarter of an hour, for a day and no longer."""
    await never_arrived(service)
    await service.mbiz.delete("/sandbox/faults")
    await service.fault("find_registration", "lag", seconds=600, times=1000)
    await put_back(service, ask_at=timedelta(minutes=16))
    assert [1, 0] == [await settling.settle(service.context) for _ in range(2)]
    await put_back(service, ask_at=timedelta(hours=24), ended_at=timedelta(hours=24))
    assert [1, 0, 0] == [await settle(service) for _ in range(3)]
    assert ["refused"] == [row.state for row in await attempts(service.database)]


async def test_settling_while_somebody_else_finishes_and_removes(database_url: str, tmp_path: Path) -> None:
    """The satker is gone when mbizmarket answers: nothing is left to do there, and the round goes on."""
    wire = held(tmp_path, "/v1/registrations/")
    async with serving(database_url, wire) as service:
        people = [await person(service, n, n) for n in range(3)]
        for n, who in enumerate(people):
            await who.register(f"lost+{n}@baru.example")
        await service.fault("find_registration", "lag", seconds=60)
        round_ = asyncio.create_task(settle(service))
        await wire.waiting.wait()
        for n, who in enumerate(people[:2]):
            assert MAPPED == said(await who.log_in(f"lost+{n}@baru.example"))
            assert (204, "") == said(await who.remove(unlink=True))
        wire.send.set()
        assert 2 == await round_
        assert "mapped" == await people[2].status()
        assert [] == await violations(service.database, await service.truth())


@pytest.mark.parametrize("removed", [False, True])
async def test_an_answer_that_comes_after_the_satker_was_freed(
    database_url: str, tmp_path: Path, removed: bool
) -> None:
    """The account is there and the satker is not waiting any more: an orphan, and log in is the way on."""
    wire = held(tmp_path)
    wire.send.set()
    wire.answer.clear()
    async with serving(database_url, wire) as service:
        who = await person(service)
        live = asyncio.create_task(who.register())
        await wire.arrived.wait()
        await end_leases(service.database)
        await service.fault("find_registration", "lag", seconds=60, times=3)
        for _ in range(3):
            await settle(service)
        assert "unmapped" == await who.status()
        if removed:
            assert (204, "") == said(await who.remove())
        wire.answer.set()
        assert (409, "email_taken") == said(await live)
        assert ["orphan"] == [row.state for row in await attempts(service.database)]
        assert ("registration", "orphan") == (await told(service.database))[-1]
        assert [] == await violations(service.database, await service.truth())
