"""Whatever mbizmarket does, every answer comes within the deadline and half a second; reads need no mbizmarket.

The bound is held by the world itself, on every answer of every test here (`World.ask`).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.crash.processes import DEADLINE
from tests.crash.world import FULL, Person, World, Worlds, repeat_until_linked

pytest_plugins = ["tests.crash.worlds"]

AWAY = (503, "mbiz_unavailable")
TOGETHER = 8
HANG = 5 * DEADLINE


@pytest.fixture
def world(worlds: Worlds) -> Iterator[World]:
    """One whose breakers know nothing of other tests."""
    world = worlds("sqlite")
    world.restart()
    yield world
    world.calm()


def opened(world: World) -> Person:
    """A PP who is mapped and could go in."""
    person = world.person()
    person.open_account()
    assert 201 == person.log_in().status
    return person


@pytest.mark.parametrize("fault", [("drip", 0.2), ("sleep_after", HANG), ("drop_after", None)], ids=str)
def test_asking_while_mbizmarket_drips_hangs_or_cuts(world: World, fault: tuple[str, float | None]) -> None:
    """Many at once, every kind of call: each is answered in time, and a registration is never called failed."""
    entering = [opened(world) for _ in range(2)]
    others = [world.person() for _ in range(6)]
    spoil(world, "any", *fault)
    registering = others[:2]
    calls = [*(person.enter for person in entering), others[2].enter, others[3].look_up, others[4].log_in]
    calls += [lambda: others[5].confirm("C-1")]
    with ThreadPoolExecutor(TOGETHER) as threads:
        registered = [threads.submit(person.register) for person in registering]
        asked = [threads.submit(call) for call in calls]
        assert {answer.result().said for answer in registered} <= {(202, "checking"), AWAY}
        assert {answer.result().said for answer in asked} <= {AWAY, (504, "mbiz_timeout")}
    for person, answer in zip(registering, registered, strict=True):
        assert answer.result().said == AWAY or "wait" == person.enter().word
    world.calm()
    world.settle_all()
    assert [] == world.violations()


@pytest.mark.parametrize(
    "fault", [("drip", 0.2), ("sleep_before", HANG), ("drop_after", None)][: 3 if FULL else 1]
)
def test_registering_while_our_own_token_does_not_come(world: World, fault: tuple[str, float | None]) -> None:
    """The token's call is part of the same budget; nothing was sent, and the satker is free."""
    person = world.person()
    world.trade("POST", "tokens/expire")
    spoil(world, "token", *fault)
    assert AWAY == person.register().said
    mapping = person.mapping().body
    assert ("unmapped", "mbiz_unavailable") == (mapping["status"], mapping["last_failure"]["code"])
    world.calm()
    repeat_until_linked(person.register)
    assert [] == world.violations()


def spoil(world: World, call: str, fault: str, seconds: float | None) -> None:
    world.fault(call, fault, times=1000, **({"seconds": seconds} if seconds else {}))


def test_reading_while_mbizmarket_is_dead(world: World) -> None:
    """Whatever needs our own database alone is served; the rest is told at once when to come back."""
    mapped, unmapped = opened(world), world.person()
    world.market.kill()
    try:
        assert "mapped" == mapped.mapping().body["status"]
        for path in ("/v1/satkers", "/v1/klpd", "/v1/klpd/K1/satkers", "/v1/history", "/healthz", "/readyz"):
            assert 200 == world.ask("GET", path, mapped.number).status, path
        for call in (mapped.enter, unmapped.enter, unmapped.log_in, unmapped.register, unmapped.look_up):
            assert AWAY == call().said
        assert 204 == mapped.unlink().status
    finally:
        world.market.start()
    repeat_until_linked(unmapped.register)
    assert [] == world.violations()
