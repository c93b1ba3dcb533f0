"""SIGTERM lets running requests end, within a bound; what is cut is as a crash; who leaves cuts nothing."""

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.processes import DEADLINE, Process, environment, free_port, wait_until
from tests.crash.world import World, Worlds

pytest_plugins = ["tests.crash.worlds"]

GRACEFUL = int(DEADLINE) + 2  # seconds, and what a loaded machine needs to end a process
LATE = 5


@pytest.fixture
def world(worlds: Worlds) -> World:
    world = worlds("sqlite")
    world.ensure_served()
    return world


def test_stopping_while_a_registration_is_under_way(world: World) -> None:
    """It is answered, the mapping is there, and the process ends by itself."""
    person = world.person()
    world.fault("register", "sleep_after", seconds=DEADLINE / 2)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(person.register)
        wait_until(lambda: world.made_for(person.new_email))
        world.service.send(signal.SIGTERM)
        assert -signal.SIGTERM == world.service.wait(GRACEFUL + LATE)
        assert (201, "mapped") == answer.result().said
    assert [] == world.violations()


def test_stopping_while_a_request_is_on_its_way(world: World) -> None:
    """Its connection was there before the stop: it is answered, and the process ends."""
    port = world._http.base_url.port
    assert port
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        assert 200 == world.ask("GET", "/v1/satkers").status  # the one before it has been accepted
        world.service.send(signal.SIGTERM)
        wait_until(lambda: refused(port))
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert -signal.SIGTERM == world.service.wait(GRACEFUL + LATE)


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_stopping_while_mbizmarket_hangs(world: World) -> None:
    """The deadline ends the request, so the stop is bounded too; the outcome is open, and never called failed."""
    person = world.person()
    world.fault("register", "sleep_after", seconds=10 * DEADLINE)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(person.register)
        wait_until(lambda: world.made_for(person.new_email))
        began = time.monotonic()
        world.service.send(signal.SIGTERM)
        world.service.wait(GRACEFUL + LATE)
        assert time.monotonic() - began < GRACEFUL + LATE
        assert (202, "checking") == answer.result().said
    world.settle_all()
    assert "mapped" == _status(world, person.satker)
    assert [] == world.violations()


def test_stopping_without_patience(world: World) -> None:
    """A second signal cuts what runs: no attempt is marked failed by it, and settling finishes it."""
    person = world.person()
    world.fault("register", "sleep_after", seconds=DEADLINE / 2)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(person.register)
        wait_until(lambda: world.made_for(person.new_email))
        world.service.send(signal.SIGTERM)
        time.sleep(0.05)  # two signals at once would be one
        world.service.send(signal.SIGINT)
        world.service.wait(GRACEFUL + LATE)
        assert answer.result().cut
    assert {"calling"} == {attempt.state for attempt in world.open_attempts()}
    world.settle_all()
    assert "mapped" == _status(world, person.satker)
    assert [] == world.violations()


def test_leaving_while_a_registration_is_under_way(world: World) -> None:
    """The browser is closed: the work ends all the same, and nothing is left in doubt."""
    person = world.person()
    world.fault("register", "sleep_after", seconds=DEADLINE / 2)
    assert person.register(patience=DEADLINE / 4).cut
    wait_until(lambda: person.mapping().word == "mapped")
    assert 1 == len(world.made_for(person.new_email))
    (attempt,) = (each for each in world.attempts("mapped") if each.satker_id == person.satker)
    assert (1, 0) == (attempt.sends, attempt.asks)
    assert [] == world.violations()


def _status(world: World, satker: str) -> str:
    (attempt,) = (each for each in world.attempts("mapped", "refused") if each.satker_id == satker)
    return str(attempt.state)


def test_starting_in_production_with_a_crash_point(tmp_path: Path) -> None:
    """One line that names the setting, exit status 2, and nothing is served."""
    settings = environment(f"sqlite+aiosqlite:///{tmp_path}/satker.db", free_port())
    service = Process(tmp_path, ["serve", "--port", str(free_port())], settings, "")
    service.launch(APP_ENV="production", CRASH_AT="after_intent")
    assert 2 == service.wait(60)
    assert "CRASH_AT: is for tests, and refused in production\n" == service.log.read_text()
