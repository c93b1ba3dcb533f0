"""python -m tests.soak --minutes 10 --seed 1: people, faults and kills at random, for a while, on both databases.

Ends with everything settled, every promise checked and the password that everybody typed looked for in all that was
written; prints what was seen, and exits 1 when a promise was broken.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests import canary, described
from tests.crash.processes import DEADLINE, LEASE
from tests.crash.world import SYSTEMS, TALLY, Answer, Person, System, World, world_on

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
        described.document()  # made once, before several threads ask for it: pydantic mixes up what they make at once
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
        kinds = {"fault": 60, "kill": 12, "stop": 3, "expire": 5, "settle": 5}
        if self.world.postgres:
            kinds["kill the database"] = 8
        what = self.chance.choices([*kinds], [*kinds.values()])[0]
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
            case "kill the database":
                assert self.world.postgres is not None
                self.world.postgres.kill()
                time.sleep(self.chance.uniform(0, DEADLINE / 2))
                self.world.postgres.start()

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


STATES = ("calling", "uncertain", "mapped", "refused", "conflict", "orphan", "removed")


def soak_on(system: System, minutes: float, seed: int) -> bool:
    """Whether every promise was kept."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        with world_on(system, Path(folder)) as world:
            soak = Soak(world, seed, time.monotonic() + minutes * 60)
            soak.run()
            broken = world.violations()
            ended = Counter(attempt.state for attempt in world.attempts(*STATES))
            told = world.service.log.read_text(errors="replace").splitlines()
            unforeseen = [line for line in told if '"event": "unforeseen"' in line]
        canary.look_into(Path(folder))  # PostgreSQL's own folder is looked into when it goes
    report = [
        f"soak of {minutes:g} minutes on {system}, seed {seed}",
        *(f"  {what:30}{count:6}" for what, count in sorted(soak.seen.items())),
        f"attempts at the end: {dict(ended)}",
        *TALLY.lines(),
        *unforeseen,
        f"files with the password in them: {len(canary.found)}",
        *canary.found,
    ]
    sys.stdout.write("\n".join(report) + "\n")
    return not broken and not canary.found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--database", choices=SYSTEMS, help="this one alone")
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    if wanted.database:
        sys.exit(not soak_on(wanted.database, wanted.minutes, wanted.seed))
    again = [sys.executable, "-m", "tests.soak", *sys.argv[1:], "--database"]
    both = [subprocess.Popen([*again, system]) for system in SYSTEMS]
    statuses = [each.wait() for each in both]
    sys.exit(any(statuses))


if __name__ == "__main__":
    main()
