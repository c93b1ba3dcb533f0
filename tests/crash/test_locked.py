"""Another process writes to the database and does not end: every answer still comes in time, and nothing is lost.

The bound is held by the world itself, on every answer of every test here (`World.ask`).
"""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from app.models import PpSatker
from sqlalchemy import Executable, select, text

from tests.crash.processes import DEADLINE, LEASE, wait_until
from tests.crash.world import SYSTEMS, Answer, Person, World, Worlds, catalog_id, repeat_until_linked
from tests.service import registration

pytest_plugins = ["tests.crash.worlds"]

LOCKED = (503, "database_unavailable")
CHECKING = (202, "checking")
STALLED = {(503, "mbiz_unavailable"), (504, "mbiz_timeout")}  # what a machine that stalls may cause


@pytest.fixture(scope="module", params=SYSTEMS)
def world(worlds: Worlds, request: pytest.FixtureRequest) -> World:
    """One whose breakers know nothing of other tests."""
    world = worlds(request.param)
    world.restart()
    return world


@contextmanager
def locked(world: World) -> Iterator[None]:
    """As somebody's forgotten transaction in a shell beside the service: nobody else changes a satker."""
    if world.postgres:
        with held_open(world, text("LOCK TABLE pp_satker IN EXCLUSIVE MODE")):
            yield
        return
    other = sqlite3.connect(world.folder / "satker.db", isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@contextmanager
def held_open(world: World, statement: Executable) -> Iterator[None]:
    """A transaction that has done this, and then nothing more."""
    transaction = world._database.begin()

    async def do() -> None:
        await (await transaction.__aenter__()).execute(statement)

    world._runner.run(do())
    try:
        yield
    finally:
        world._runner.run(transaction.__aexit__(None, None, None))


def opened(world: World) -> Person:
    """A PP who is mapped."""
    person = world.person()
    person.open_account()
    repeat_until_linked(person.log_in)
    return person


def ask(person: Person, method: str, path: str, body: object = None) -> Answer:
    return person.world.ask(method, f"/v1/satkers{path}", person.number, body)


def under_way(world: World, person: Person) -> bool:
    return any(each.satker_id == person.satker for each in world.attempts("calling"))


def caught(
    world: World, threads: ThreadPoolExecutor, fault: str, email: str = ""
) -> tuple[Person, Future[Answer]]:
    """Somebody in the middle of registering, with half of the time still to come."""
    for _ in range(5):  # a machine that stalls may spend the deadline before
        person = world.person()
        world.fault("register", fault, seconds=DEADLINE / 2)
        answer = threads.submit(person.post, "mapping/register", registration(email or person.new_email))
        there = under_way if fault == "sleep_before" else made
        wait_until(lambda: answer.done() or there(world, person))  # noqa: B023
        if not answer.done():
            return person, answer
        world.calm()
        world.settle_all()
    raise AssertionError("this machine is too slow")


def made(world: World, person: Person) -> bool:
    return bool(world.made_for(person.new_email))


def test_acting_while_another_process_writes(world: World) -> None:
    """What must be written is refused, before anything was sent; what is only read is answered. All at once."""
    mapped, others = opened(world), [world.person() for _ in range(7)]
    for each in others[:2]:
        company_id = each.open_account()
    adding, satkers = {"catalog_id": catalog_id(next(world.numbers))}, [f"/{each.satker}" for each in others]
    writes = [
        others[2].register,
        others[3].remove,
        mapped.unlink,
        lambda: ask(others[4], "POST", "", adding),
        lambda: ask(others[5], "PATCH", satkers[5], {"is_primary": True}),
        lambda: ask(others[6], "DELETE", f"{satkers[6]}?unlink=true"),
    ]
    proofs = [others[0].log_in, lambda: others[1].confirm(company_id)]
    reads = [mapped.mapping, lambda: ask(others[1], "GET", "")]
    with locked(world), ThreadPoolExecutor(12) as threads:
        written = [threads.submit(call) for call in writes]
        proven = [threads.submit(call) for call in proofs]
        read = [threads.submit(call) for call in reads]
        entered = threads.submit(mapped.enter)
        assert [LOCKED] * len(writes) == [answer.result().said for answer in written]
        assert {LOCKED} | STALLED >= {answer.result().said for answer in proven}
        assert [200] * len(reads) == [answer.result().status for answer in read]
        assert {(200, "open_mbizmarket")} | STALLED >= {entered.result().said}
    assert [] == world.made_for(others[2].new_email)
    assert [] == world.open_attempts()
    for call in writes + proofs:
        repeat_until_linked(call)
    assert [] == world.violations()


def test_registering_while_another_process_begins_to_write(world: World) -> None:
    """mbizmarket has made the account, and that cannot be written: it is being checked, and ends mapped."""
    with ThreadPoolExecutor() as threads:
        person, answer = caught(world, threads, "sleep_after")
        with locked(world):
            assert CHECKING == answer.result().said
            assert under_way(world, person)
            assert "checking" == person.mapping().word
            time.sleep(LEASE)
            assert {CHECKING, LOCKED} >= {
                person.register().said
            }  # mbizmarket is asked by reference, and has it
    world.settle_all()
    assert "mapped" == person.mapping().word
    assert 1 == len(world.made_for(person.new_email))
    assert [] == world.violations()


def test_being_refused_while_another_process_begins_to_write(world: World) -> None:
    """That nothing was made cannot be written: it is being checked, and evidence frees the satker."""
    owner = world.person()
    repeat_until_linked(owner.register)
    with ThreadPoolExecutor() as threads:
        person, answer = caught(world, threads, "sleep_before", owner.new_email)
        with locked(world):
            assert CHECKING == answer.result().said
    world.settle_all()
    mapping = person.mapping().body
    assert ("unmapped", "never_arrived") == (mapping["status"], mapping["last_failure"]["code"])
    repeat_until_linked(person.register)
    assert [] == world.violations()


def test_acting_while_another_process_writes_for_a_moment(world: World) -> None:
    """Who can wait so long is served."""
    people = [opened(world) for _ in range(8)]
    with ThreadPoolExecutor(len(people)) as threads:
        with locked(world):
            answers = [threads.submit(person.unlink) for person in people]
            wait_until(lambda: "mapped" == people[0].mapping().word)
        heard = {answer.result().said for answer in answers}
    assert (204, "") in heard
    assert {(204, ""), LOCKED} >= heard
    for person in people:
        repeat_until_linked(person.unlink)
    assert [] == world.violations()


def test_acting_on_a_row_that_another_transaction_holds(world: World) -> None:
    """Its owner is refused in time; everybody else is served. All at once."""
    if world.postgres is None:
        pytest.skip("SQLite locks no row")
    person, others = opened(world), [opened(world) for _ in range(3)]
    company_id = str(person.mapping().body["company"]["company_id"])
    patch = {"is_primary": True}
    calls = [
        person.log_in,
        lambda: person.confirm(company_id),
        person.unlink,
        person.remove,
        lambda: ask(person, "PATCH", f"/{person.satker}", patch),
    ]
    with (
        held_open(world, select(PpSatker.id).where(PpSatker.id == person.satker).with_for_update()),
        ThreadPoolExecutor(12) as threads,
    ):
        refused = [threads.submit(call) for call in calls]
        served = [threads.submit(each.unlink) for each in others]
        assert {LOCKED} | STALLED >= {answer.result().said for answer in refused}
        assert LOCKED in {answer.result().said for answer in refused}
        assert [204] * len(others) == [answer.result().status for answer in served]
        assert "mapped" == person.mapping().word
    assert 200 == ask(person, "PATCH", f"/{person.satker}", patch).status
    assert 204 == person.unlink().status
    repeat_until_linked(person.register)
    assert [] == world.violations()


def test_acting_while_every_connection_waits(world: World) -> None:
    """With the pool used up, reads are answered in time as well; then all of it is there again."""
    if world.postgres is None:
        pytest.skip("SQLite needs no pool")
    world.restart()  # so that no read holds a connection yet
    people = [world.person() for _ in range(24)]
    world.restart()
    with locked(world), ThreadPoolExecutor(2 * len(people)) as threads:
        written = [threads.submit(person.remove) for person in people]
        time.sleep(DEADLINE / 4)
        read = [threads.submit(person.mapping) for person in people]
        assert {LOCKED} == {answer.result().said for answer in written}
        assert {LOCKED, (200, "unmapped")} >= {answer.result().said for answer in read}
    assert [204] * len(people) == [person.remove().status for person in people]
    assert [] == world.violations()
