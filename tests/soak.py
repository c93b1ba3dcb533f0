"""python -m tests.soak --minutes 10 --database sqlite --seed 1: people, faults and kills at random, for a while.

Ends with everything settled and every promise checked; prints what was seen, and exits 1 when one was broken.
"""

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.crash.processes import DEADLINE, LEASE
from tests.crash.world import SYSTEMS, TALLY, Answer, Person, World, world_on

PEOPLE = 6  # at once
KEEP = 12  # satkers that somebody is busy with; the oldest is given up for a new one

TROUBLE = {
    "register": ("drop_after", "500_after", "503_before", "garbage", "sleep_before", "sleep_after", "lag"),
    "find_registration": ("drop_after", "lag", "other_reference", "other_email"),
    "login": ("drop_after", "html_200", "drip", "two_companies"),
    "search": ("500_after", "expired_token", "missing_id", "refuse"),
    "session": ("redirect_308", "rate_limited"),
    "token": ("503_before", "drop_after"),
}


class Soak:
    def __init__(self, world: World, seed: int, until: float) -> None:
        self.world = world
        self.until = until
        self.chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.people: list[Person] = []
        self._lock = threading.Lock()

    def run(self) -> None:
        with ThreadPoolExecutor(PEOPLE) as threads:
            busy = [threads.submit(self._live, random.Random(self.chance.random())) for _ in range(PEOPLE)]
            try:
                while time.monotonic() < self.until and not any(each.done() for each in busy):
                    self._trouble()
                    time.sleep(self.chance.uniform(0, 1))
            finally:
                self.until = 0
        for each in busy:
            each.result()
        self.world.ensure_served()
        self.world.calm()
        self.world.settle_all()

    def _trouble(self) -> None:
        what = self.chance.choices(["fault", "kill", "stop", "expire", "settle"], [60, 12, 3, 5, 5])[0]
        self.seen[what] += 1
        match what:
            case "fault":
                call = self.chance.choice([*TROUBLE])
                fault = self.chance.choice(TROUBLE[call])
                slow = fault.startswith("sleep") or fault == "lag"
                more = {"seconds": self.chance.uniform(0, 1.2) * DEADLINE + 0.01} if slow else {}
                self.world.fault(call, fault, **more)
            case "kill":
                self.world.restart()
            case "stop":
                self.world.service.send(signal.SIGTERM)
                self.world.service.wait()
                self.world.service.start()
            case "expire":
                self.world.trade("POST", "tokens/expire")
            case "settle":
                self.world.settle()

    def _live(self, chance: random.Random) -> None:
        """One after the other, at whichever satker; now and then somebody new comes."""
        while time.monotonic() < self.until:
            person = self._somebody(chance)
            if person is None:
                time.sleep(LEASE / 4)  # the service is down
                continue
            deed = chance.choices([*self._deeds(person, chance).items()], [6, 4, 2, 2, 1, 2, 2])[0]
            answer = deed[1]()
            with self._lock:
                self.seen[f"{deed[0]} {answer.status or 'cut'}"] += 1
            if answer.cut:
                time.sleep(LEASE / 4)

    def _deeds(self, person: Person, chance: random.Random) -> dict[str, Callable[[], Answer]]:
        """Also with a colleague's account, which may be the satker's or not."""
        other = self.people[chance.randrange(len(self.people))]
        return {
            "register": person.register,
            "enter": person.enter,
            "log in": person.log_in,
            "log in as registered": lambda: person.log_in(other.new_email),
            "log in as another": lambda: person.log_in(other.email),
            "read": person.mapping,
            "unlink": person.unlink,
        }

    def _somebody(self, chance: random.Random) -> Person | None:
        if len(self.people) >= KEEP and chance.random() < 0.95:
            return chance.choice(self.people)
        with self._lock:
            number = next(self.world.numbers)
        place = number if chance.random() < 0.7 or not self.people else chance.choice(self.people).place
        person = self.world.add(number, place)
        if person:
            if chance.random() < 0.5:
                person.open_account()
            with self._lock:
                self.people = [*self.people, person][-KEEP:]
        return person


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--database", choices=SYSTEMS, default="sqlite")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        world_on(wanted.database, Path(folder)) as world,
    ):
        soak = Soak(world, wanted.seed, time.monotonic() + wanted.minutes * 60)
        soak.run()
        broken = world.violations()
        ended = Counter(attempt.state for attempt in world.attempts(*STATES))
    report = [
        f"soak of {wanted.minutes:g} minutes on {wanted.database}, seed {wanted.seed}",
        *(f"  {what:30}{count:6}" for what, count in sorted(soak.seen.items())),
        f"attempts at the end: {dict(ended)}",
        *TALLY.lines(),
    ]
    sys.stdout.write("\n".join(report) + "\n")
    sys.exit(bool(broken))


STATES = ("calling", "uncertain", "mapped", "refused", "conflict", "orphan", "removed")

if __name__ == "__main__":
    main()
