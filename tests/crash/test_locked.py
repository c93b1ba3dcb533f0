"""Another process writes to SQLite and does not end: every answer still comes in time, and nothing is lost.

The bound is held by the world itself, on every answer of every test here (`World.ask`).
"""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.crash.processes import DEADLINE, LEASE, wait_until
from tests.crash.world import Answer, Person, World, Worlds, catalog_id, repeat_until_linked
from tests.service import registration

pytest_plugins = ["tests.crash.worlds"]

LOCKED = (503, "database_unavailable")
CHECKING = (202, "checking")


@pytest.fixture(scope="module")
def world(worlds: Worlds) -> World:
    """One whose breakers know nothing of other tests."""
    world = worlds("sqlite")
    world.restart()
    return world


@contextmanager
def locked(world: World) -> Iterator[None]:
    """As somebody's forgotten `BEGIN IMMEDIATE` in a shell beside the service."""
    other = sqlite3.connect(world.folder / "satker.db", isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def opened(world: World) -> Person:
    """A PP who is mapped."""
    person = world.person()
    person.open_account()
    assert 201 == person.log_in().status
    return person


def ask(person: Person, method: str, path: str, body: object = None) -> Answer:
    return person.world.ask(method, f"/v1/satkers{path}", person.number, body)


def test_acting_while_another_process_writes(world: World) -> None:
    """What must be written is refused, before anything was sent; what is only read is answered. All at once."""
    mapped, others = opened(world), [world.person() for _ in range(7)]
    for each in others[:2]:
        company_id = each.open_account()
    adding, satkers = {"catalog_id": catalog_id(next(world.numbers))}, [f"/{each.satker}" for each in others]
    writes = [
        others[0].log_in,
        lambda: others[1].confirm(company_id),
        others[2].register,
        others[3].remove,
        mapped.unlink,
        lambda: ask(others[4], "POST", "", adding),
        lambda: ask(others[5], "PATCH", satkers[5], {"is_primary": True}),
        lambda: ask(others[6], "DELETE", f"{satkers[6]}?unlink=true"),
    ]
    reads = [mapped.mapping, mapped.enter, others[0].look_up, lambda: ask(others[1], "GET", "")]
    with locked(world), ThreadPoolExecutor(len(writes) + len(reads)) as threads:
        written = [threads.submit(call) for call in writes]
        read = [threads.submit(call) for call in reads]
        assert [LOCKED] * len(writes) == [answer.result().said for answer in written]
        assert [200] * len(reads) == [answer.result().status for answer in read]
    assert [] == world.made_for(others[2].new_email)
    assert [] == world.open_attempts()
    for call in writes:
        assert call().status in (200, 201, 204)
    assert [] == world.violations()


def under_way(world: World, person: Person) -> bool:
    return any(each.satker_id == person.satker for each in world.attempts("calling"))


def test_registering_while_another_process_begins_to_write(world: World) -> None:
    """mbizmarket has made the account, and that cannot be written: it is being checked, and ends mapped."""
    person = world.person()
    world.fault("register", "sleep_after", seconds=DEADLINE / 2)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(person.register)
        wait_until(lambda: world.made_for(person.new_email))
        with locked(world):
            assert CHECKING == answer.result().said
            assert under_way(world, person)
            assert "checking" == person.mapping().word
            time.sleep(LEASE)
            assert CHECKING == person.register().said  # mbizmarket is asked by reference, and has it
    world.settle_all()
    assert "mapped" == person.mapping().word
    assert 1 == len(world.made_for(person.new_email))
    assert [] == world.violations()


def test_being_refused_while_another_process_begins_to_write(world: World) -> None:
    """That nothing was made cannot be written: it is being checked, and evidence frees the satker."""
    owner, person = world.person(), world.person()
    assert 201 == owner.register().status
    world.fault("register", "sleep_before", seconds=DEADLINE / 2)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(person.post, "mapping/register", registration(owner.new_email))
        wait_until(lambda: under_way(world, person))
        with locked(world):
            assert CHECKING == answer.result().said
    world.settle_all()
    assert ("unmapped", "never_arrived") == (
        person.mapping().word,
        person.mapping().body["last_failure"]["code"],
    )
    repeat_until_linked(person.register)
    assert [] == world.violations()


def test_logging_in_while_another_process_begins_to_write(world: World) -> None:
    """It changed nothing, and can be done again."""
    person = world.person()
    person.open_account()
    world.fault("login", "sleep_after", seconds=DEADLINE / 2)
    with locked(world):
        assert LOCKED == person.log_in().said
    assert "unmapped" == person.mapping().word
    assert 201 == person.log_in().status
    assert [] == world.violations()


def test_acting_while_another_process_writes_for_a_moment(world: World) -> None:
    """Who can wait so long is served, in the end all of them."""
    people = [opened(world) for _ in range(8)]
    with ThreadPoolExecutor(len(people)) as threads:
        with locked(world):
            answers = [threads.submit(person.unlink) for person in people]
            wait_until(lambda: "mapped" == people[0].mapping().word)
        assert [204] * len(people) == [answer.result().status for answer in answers]
    assert [] == world.violations()
