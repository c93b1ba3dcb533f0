"""Two and four replicas behind the proxy that is shipped: whoever answers, it is one service."""

import http.client
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.crash.processes import wait_until
from tests.crash.world import Answer, Person
from tests.grow.conftest import FIGURES
from tests.grow.fleet import DEADLINE, FULL, Fleet, Load, fleet_on, needs_proxy, needs_redis
from tests.grow.people import LINKED, Promises, linking, mapped, reading
from tests.postgres import Postgres
from tests.service import bearer

pytestmark = [needs_proxy, needs_redis]

AT_ONCE = 16
ROUNDS = 20 if FULL else 2
LOAD_SECONDS = 15.0 if FULL else 1.5
IN_PROGRESS, CHECKING = (409, "link_in_progress"), (202, "checking")
NOT_SENT = (503, "mbiz_unavailable")  # on a machine so busy that the time was spent before


@pytest.fixture(scope="module", params=[2, 4] if FULL else [4], ids=lambda count: f"{count}-replicas")
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder: Path = tmp_path_factory.mktemp("fleet")
    with Postgres() as server:
        server.create_database("satker")
        with fleet_on(server.url("satker"), folder, request.param) as fleet:
            yield fleet


@pytest.fixture(autouse=True)
def whole(fleet: Fleet) -> Iterator[None]:
    """Every promise is kept after every test."""
    yield
    fleet.calm()
    settled(fleet)
    assert [] == fleet.violations()


def settled(fleet: Fleet) -> None:
    """The replicas settle by themselves: nobody helps."""
    wait_until(lambda: not fleet.open_attempts(), 60, "never settled")


def together(calls: list[Callable[[], Answer]]) -> list[Answer]:
    start = threading.Barrier(len(calls))

    def go(call: Callable[[], Answer]) -> Answer:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(go, calls))


def outcomes(answers: list[Answer]) -> Counter[tuple[int | None, str]]:
    return Counter(answer.said for answer in answers)


def same_satker(fleet: Fleet, people: int) -> list[Person]:
    first = fleet.person()
    rest = (fleet.add(next(fleet.numbers), first.place) for _ in range(people - 1))
    return [first, *(person for person in rest if person)]


def test_every_replica_takes_its_share(fleet: Fleet) -> None:
    """The proxy goes round, and each replica answers."""
    for _ in range(2 * len(fleet.replicas)):
        assert 200 == fleet.ask("GET", "/v1/satkers").status
    for replica in fleet.replicas:
        wait_until(lambda log=replica.log: "/v1/satkers" in log.read_text(), 5, "a replica was left out")


@pytest.mark.parametrize("asked", ["/metrics", "/readyz?x", "/%6detrics", "http://else.example/metrics"])
def test_asking_for_what_is_not_the_publics(fleet: Fleet, asked: str) -> None:
    """The proxy itself says 404, however it is spelled; each replica tells those who reach it."""
    statuses = []
    for port in (fleet.door, *fleet.ports):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", asked)
        answer = connection.getresponse()
        statuses.append((answer.status, bool(answer.read())))
        connection.close()
    assert [(404, False)] + [(200, True)] * len(fleet.ports) == statuses


def test_registering_one_satker_from_many_sides(fleet: Fleet) -> None:
    """Sixteen PPs at once: one registration, the others hear at once that it is under way; one account is made."""
    for _ in range(ROUNDS):
        people = same_satker(fleet, AT_ONCE)
        fleet.fault("register", "sleep_before", seconds=0.5)
        said = outcomes(together([person.register for person in people]))
        won = said[201, "mapped"] + said[CHECKING]
        assert said.keys() <= {
            (201, "mapped"),
            IN_PROGRESS,
            (409, "satker_already_mapped"),
            CHECKING,
            NOT_SENT,
        }
        assert 1 == won or (0 == won and said[NOT_SENT]), said
        settled(fleet)
        assert won == sum(len(fleet.made_for(person.new_email)) for person in people)


def test_clicking_many_times(fleet: Fleet) -> None:
    """One PP, one e-mail, sixteen clicks: everyone hears that it is done or under way, and one account is made."""
    for _ in range(ROUNDS):
        person = fleet.person()
        fleet.fault("register", "sleep_before", seconds=0.5)
        said = outcomes(together([person.register] * AT_ONCE))
        assert said.keys() <= LINKED | {CHECKING}
        settled(fleet)
        assert 1 == len(fleet.made_for(person.new_email))
        assert "mapped" == person.mapping().word


def test_one_company_for_many_satkers(fleet: Fleet) -> None:
    """One satker gets it; the others hear that it is taken."""
    for _ in range(ROUNDS):
        people = [fleet.person() for _ in range(5)]  # more than may fail at once would have to wait
        people[0].open_account()
        email = people[0].email
        said = outcomes(together([partial(person.log_in, email) for person in people]))
        assert {(201, "mapped"): 1, (409, "company_already_mapped"): 4} == said


def test_guessing_a_password_at_every_replica(fleet: Fleet) -> None:
    """Five wrong ones an e-mail, however many replicas there are to try."""
    people = [fleet.person() for _ in range(12)]
    people[0].open_account()
    email = people[0].email
    said = outcomes(together([partial(person.log_in, email, "salah") for person in people]))
    assert {(422, "invalid_credentials"): 5, (429, "too_many_attempts"): 7} == said


def test_calls_are_counted_over_all_replicas(fleet: Fleet) -> None:
    """Each replica goes on from where the last one was."""
    headers = bearer(sub="pp-counted")
    left = []
    for port in fleet.ports * 2:
        answer = httpx.get(f"http://127.0.0.1:{port}/v1/satkers", headers=headers, trust_env=False)
        left.append(int(answer.headers["ratelimit"].partition("r=")[2].partition(";")[0]))
    assert list(range(left[0], left[0] - len(left), -1)) == left


def test_settling_everywhere_at_once(fleet: Fleet) -> None:
    """Answers that were lost: all replicas look for them, each is found once, by whoever comes first."""
    people = [fleet.person() for _ in range(40 if FULL else 12)]
    fleet.fault("register", "drop_after", times=len(people))
    said = outcomes(together([person.register for person in people]))
    assert {CHECKING} >= said.keys() - {(503, "mbiz_unavailable")}
    fleet.calm()
    settled(fleet)
    for person in people:
        assert person.mapping().word == ("mapped" if fleet.made_for(person.new_email) else "unmapped")
    # So many lost answers have opened each replica's breaker: what comes next is not to meet that.
    later = [fleet.person() for _ in fleet.ports]
    wait_until(lambda: all(person.register().said in LINKED for person in later), 60, "a breaker stays open")


def test_a_replica_is_killed_under_load(fleet: Fleet) -> None:
    """What it had in hand is cut, and nothing else; reads do not even notice. It comes back and takes its share."""
    promises = Promises()
    readers = [mapped(fleet) for _ in range(4)]
    load = Load([*map(reading, readers), *(linking(fleet, promises) for _ in range(4))])
    with load:
        time.sleep(LOAD_SECONDS)
        fleet.kill_replica(0)
        time.sleep(LOAD_SECONDS)
        fleet.replicas[0].start()
        time.sleep(LOAD_SECONDS)
    assert len(load.cut()) <= 4, load.tally()
    assert "read" not in load.cut()
    assert {"200 mapped"} == {f"{a.status} {a.word}" for _, name, a in load.said if name == "read"}
    fine = {(201, "mapped"), (200, "mapped"), CHECKING, (None, "")}
    assert {a.said for _, name, a in load.said if name == "link"} <= fine, load.tally()
    settled(fleet)
    assert len(promises) > 4
    assert [] == promises.broken(fleet)
    FIGURES.append(
        f"one of {len(fleet.replicas)} replicas killed: {len(load.cut())} of {len(load.said)} answers cut, "
        f"{len(promises)} mappings told of and kept"
    )


def test_replicas_are_replaced_one_by_one_under_load(fleet: Fleet) -> None:
    """A deploy: each ends what it has in hand, and nobody notices."""
    promises = Promises()
    load = Load([*(reading(mapped(fleet)) for _ in range(3)), *(linking(fleet, promises) for _ in range(3))])
    with load:
        for replica in fleet.replicas[: None if FULL else 2]:
            time.sleep(LOAD_SECONDS / 2)
            replica.send(signal.SIGTERM)
            assert replica.wait(DEADLINE + 5) in (0, -signal.SIGTERM)
            replica.start()
            time.sleep(LOAD_SECONDS / 2)
    assert [] == load.cut(), load.tally()
    assert {"read 200 mapped", "link 201 mapped"} == set(load.tally())
    assert [] == promises.broken(fleet)
