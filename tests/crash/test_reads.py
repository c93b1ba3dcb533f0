"""What an mbizmarket that is away costs those who read what our own database knows.

Two services side by side, on databases of their own: one with mbizmarket well, one with mbizmarket dead, and people
asking for it all the time. Reads take turns between them, so that what else the machine does troubles both alike.
A comparison of times: part of `make crash`, which is run when the machine has nothing else to do.
"""

import threading
from pathlib import Path
from statistics import quantiles

import pytest

from tests.crash.world import FULL, SYSTEMS, TALLY, Person, System, World, world_on

pytest_plugins = ["tests.crash.worlds"]

READS = 1000
ALLOWED = 1.5  # times


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20)[-1]


def knock(person: Person, over: threading.Event) -> None:
    """Asks for mbizmarket, again and again."""
    while not over.wait(0.02):
        person.enter()


def compare(well: World, dead: World) -> tuple[float, float]:
    """The 95th percentiles of one mapping's reads, in seconds."""
    readers, knockers = (well.person(), dead.person()), (well.person(), dead.person())
    dead.market.kill()
    over = threading.Event()
    asking = [threading.Thread(target=knock, args=(person, over)) for person in knockers]
    for thread in asking:
        thread.start()
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(READS):
        for reader, seconds in zip(readers, took, strict=True):
            answer = reader.mapping()
            assert 200 == answer.status
            seconds.append(answer.seconds)
    over.set()
    for thread in asking:
        thread.join()
    return p95(took[0]), p95(took[1])


@pytest.mark.skipif(not FULL, reason="a comparison of times: make crash")
@pytest.mark.parametrize("system", SYSTEMS)
def test_reading_beside_a_service_whose_mbizmarket_is_well(system: System, tmp_path: Path) -> None:
    """The slowest reads are hardly slower for it."""
    folders = tmp_path / "well", tmp_path / "dead"
    for folder in folders:
        folder.mkdir()
    with world_on(system, folders[0]) as well, world_on(system, folders[1]) as dead:
        healthy, away = compare(well, dead)
    TALLY.notes.append(
        f"p95 of {READS} reads on {system}: {healthy * 1000:.1f} ms with mbizmarket well, {away * 1000:.1f} ms "
        f"with it dead ({away / healthy:.2f} times, allowed {ALLOWED})"
    )
    assert away <= ALLOWED * healthy, TALLY.notes[-1]
