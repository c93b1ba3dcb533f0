"""python -m tests.crash.reads: what an mbizmarket that is away costs those who read what our own database knows.

Two services side by side, on databases of their own: one with mbizmarket well, one with mbizmarket dead and people
asking for it all the time. Reads take turns between them, so that what else the machine does troubles both alike.
"""

import argparse
import sys
import tempfile
import threading
from pathlib import Path
from statistics import quantiles

from tests.crash.world import Person, World, world_on

ALLOWED = 1.5  # times


def p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20)[-1]


def knock(person: Person, over: threading.Event) -> None:
    """Asks for mbizmarket, again and again."""
    while not over.wait(0.02):
        person.enter()


def compare(well: World, dead: World, reads: int) -> tuple[float, float]:
    """The 95th percentiles of one mapping's reads, in seconds."""
    readers, knockers = (well.person(), dead.person()), (well.person(), dead.person())
    dead.market.kill()
    over = threading.Event()
    asking = [threading.Thread(target=knock, args=(person, over)) for person in knockers]
    for thread in asking:
        thread.start()
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(reads):
        for reader, seconds in zip(readers, took, strict=True):
            seconds.append(reader.mapping().seconds)
    over.set()
    for thread in asking:
        thread.join()
    return p95(took[0]), p95(took[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, default=1000)
    wanted = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as one,
        tempfile.TemporaryDirectory() as other,
        world_on("sqlite", Path(one)) as well,
        world_on("sqlite", Path(other)) as dead,
    ):
        healthy, away = compare(well, dead, wanted.reads)
    ratio = away / healthy
    sys.stdout.write(
        f"p95 of {wanted.reads} reads: {healthy * 1000:.1f} ms with mbizmarket well, {away * 1000:.1f} ms with it "
        f"dead: {ratio:.2f} times (allowed: {ALLOWED})\n"
    )
    sys.exit(ratio > ALLOWED)


if __name__ == "__main__":
    main()
