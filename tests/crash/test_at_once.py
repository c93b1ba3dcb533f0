"""Sixteen at once at two replicas, settles beside them, and a database that goes away in the middle."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from tests.crash.processes import DEADLINE, wait_until
from tests.crash.world import SYSTEMS, Answer, Person, World, Worlds, repeat_until_linked

pytest_plugins = ["tests.crash.worlds"]

MANY = 16
Call = Callable[[], Answer]
Replicas = tuple[World, World]

MAPPED, THERE, CHECKING = (201, "mapped"), (200, "mapped"), (202, "checking")
IN_PROGRESS, TAKEN = (409, "link_in_progress"), (409, "satker_already_mapped")
GONE, REMOVED = (404, "satker_not_found"), (204, "")
# What may come besides on a machine that stalls: nothing was done.
LATE = {(503, "mbiz_unavailable"), (503, "database_unavailable"), (504, "mbiz_timeout")}


def test_the_database_goes_away_after_mbizmarket_has_made_the_account(worlds: Worlds) -> None:
    """503 `database_unavailable`; once it is back, the row of the intent is enough to finish."""
    world = worlds("postgresql")
    world.ensure_served()
    database = world.postgres
    assert database is not None
    with ThreadPoolExecutor() as threads:
        for _ in range(5):  # a machine that stalls may spend the deadline before anything is sent
            person = world.person()
            world.fault("register", "sleep_after", seconds=DEADLINE / 2)
            answer = threads.submit(person.register, prompt=False)
            wait_until(lambda: answer.done() or world.made_for(person.new_email))  # noqa: B023
            if not answer.done():
                break
            world.calm()
        database.kill()
        assert (503, "database_unavailable") == answer.result().said
    database.start()
    repeat_until_linked(person.register)
    assert "mapped" == person.mapping().body["status"]
    assert 1 == len(world.made_for(person.new_email))
    assert [] == world.violations()


@pytest.fixture(scope="module", params=SYSTEMS)
def replicas(request: pytest.FixtureRequest, worlds: Worlds) -> Iterator[Replicas]:
    """Two services on one database."""
    worlds(request.param).ensure_served()
    world = copy.copy(worlds(request.param))
    world.timed = False
    with world.replica() as other:
        yield world, other


def at_once(calls: Sequence[Call]) -> list[Answer]:
    """Their answers, in their order; all are let go at the same moment."""
    barrier = Barrier(len(calls))

    def go(call: Call) -> Answer:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(go, calls))


def said(answers: Sequence[Answer]) -> Counter[tuple[int | None, str]]:
    return Counter(answer.said for answer in answers)


def spread(people: Sequence[Person], replicas: Replicas) -> list[Person]:
    """Each calls the one or the other replica, in turn."""
    return [replace(person, world=replicas[n % 2]) for n, person in enumerate(people)]


def colleagues(world: World, count: int) -> list[Person]:
    """PPs who all serve one satker that nobody has touched."""
    first = world.person()
    others = (world.add(next(world.numbers), first.place) for _ in range(count - 1))
    return [first, *filter(None, others)]


def test_sixteen_pps_register_one_satker(replicas: Replicas) -> None:
    """One account is made; the others hear at once that somebody is at it."""
    world, _ = replicas
    people = spread(colleagues(world, MANY), replicas)
    world.fault("register", "sleep_before", seconds=DEADLINE / 4)  # so that all come while it is under way
    heard = said(at_once([person.register for person in people]))
    assert (1, MANY) == (heard[MAPPED] + heard[CHECKING], heard.total())
    assert {MAPPED, CHECKING, IN_PROGRESS, TAKEN} | LATE >= heard.keys()
    world.settle_all()
    assert 1 == sum(len(world.made_for(person.new_email)) for person in people)
    assert [] == world.violations()


def test_sixteen_clicks_on_one_registration(replicas: Replicas) -> None:
    """All are told that it is done or under way; one account is made."""
    world, _ = replicas
    people = spread([world.person()] * MANY, replicas)
    heard = said(at_once([person.register for person in people]))
    assert heard[MAPPED] <= 1
    assert {MAPPED, THERE, CHECKING} | LATE >= heard.keys()
    repeat_until_linked(people[0].register)
    assert 1 == len(world.made_for(people[0].new_email))
    assert [] == world.violations()


def test_sixteen_satkers_for_one_company(replicas: Replicas) -> None:
    """One gets it; the others hear that it is taken."""
    world, _ = replicas
    people = spread([world.person() for _ in range(MANY)], replicas)
    company_id = people[0].open_account()
    for each in people[1:]:
        each.open_account(company_id)
    heard = said(at_once([each.log_in for each in people]))
    assert {MAPPED, (409, "company_already_mapped")} | LATE >= heard.keys()
    assert 1 == heard[MAPPED]
    assert [] == world.violations()


def test_everybody_takes_up_one_uncertain_registration(replicas: Replicas) -> None:
    """Repeats, log-ins and entries, and two settles in processes of their own: mapped once, and nobody is lied to."""
    world, _ = replicas
    person = world.person()
    world.fault("register", "drop_after")
    assert CHECKING == person.register().said
    ways = [lambda each: each.register(), lambda each: each.log_in(each.new_email), lambda each: each.enter()]
    people = enumerate(spread([person] * MANY, replicas))
    calls = [lambda n=n, each=each: ways[n % 3](each) for n, each in people]  # type: ignore[misc]
    with ThreadPoolExecutor() as threads:
        settles = [threads.submit(world.settle) for _ in range(2)]
        heard = said(at_once(calls))
        assert [0, 0] == [settle.result() for settle in settles]
    true = {MAPPED, THERE, CHECKING, IN_PROGRESS, (200, "wait"), (200, "open_mbizmarket")}
    assert true | LATE >= heard.keys()
    repeat_until_linked(person.register)
    assert 1 == len(world.made_for(person.new_email))
    assert [] == world.violations()


def test_removing_and_registering_one_satker_sixteen_fold(replicas: Replicas) -> None:
    """It is removed and nothing was sent, or registered and not removed."""
    world, _ = replicas
    person = world.person()
    people = spread([person] * MANY, replicas)
    removals = [lambda each=each: each.remove() for each in people[: MANY // 2]]  # type: ignore[misc]
    registrations = [each.register for each in people[MANY // 2 :]]
    answers = at_once([*removals, *registrations])
    removed, registered = said(answers[: MANY // 2]), said(answers[MANY // 2 :])
    if removed[REMOVED]:
        assert {REMOVED: 1, GONE: MANY // 2 - 1} == removed
        assert {GONE} | LATE >= registered.keys()
    else:
        assert {IN_PROGRESS, (409, "satker_has_mapping")} >= removed.keys()
        assert {MAPPED, THERE, CHECKING} | LATE >= registered.keys()
        repeat_until_linked(person.register)
    assert 1 - removed[REMOVED] == len(world.made_for(person.new_email))
    assert [] == world.violations()


def test_eight_leave_a_mapping_while_eight_join(replicas: Replicas) -> None:
    """Who leaves has nothing left, who joins has a mapping that lives; all of them the same one."""
    world, _ = replicas
    people = spread(colleagues(world, MANY), replicas)
    leaving, joining = people[: MANY // 2], people[MANY // 2 :]
    company_id = people[0].open_account()
    for each in people[1:]:
        each.open_account(company_id)
    for each in leaving:
        assert MAPPED == each.log_in().said
    joins = [lambda each=each: repeat_until_linked(each.log_in) for each in joining]  # type: ignore[misc]
    leaves = [lambda each=each: repeat_until_linked(each.unlink) for each in leaving]  # type: ignore[misc]
    answers = at_once([*leaves, *joins])
    assert {REMOVED: MANY // 2, MAPPED: MANY // 2} == said(answers)
    statuses = Counter(each.mapping().body["status"] for each in people)
    assert {"mapped_by_other": MANY // 2, "mapped": MANY // 2} == statuses
    assert [] == world.violations()
