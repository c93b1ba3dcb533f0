"""What is done, how mbizmarket fails, where the service dies, how the person comes back: and what must be answered."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tests.crash.processes import DEADLINE
from tests.crash.world import SYSTEMS, System

Action = Literal["register", "login", "confirm", "unlink"]
Way = Literal["again", "settle", "entry", "login", "loop"]

# Each action's own call to mbizmarket, and the places where the service passes on its way.
CALLS: dict[Action, str] = {"register": "register", "login": "login", "confirm": "search"}
POINTS: dict[Action, tuple[str, ...]] = {
    "register": ("after_intent", "after_upstream", "before_commit", "after_commit"),
    "login": ("after_upstream", "before_commit", "after_commit"),
    "confirm": ("after_upstream", "before_commit", "after_commit"),
    "unlink": ("before_commit", "after_commit"),
}

# Sleeps outlast the deadline, but end before a satker could be freed; a lag ends before that too.
LONG, DRIP, LAG = 1.6 * DEADLINE, 0.02 * DEADLINE, 0.8 * DEADLINE
SECONDS = {"sleep_before": LONG, "sleep_after": LONG, "drip": DRIP, "lag": LAG}

CUT = ("refuse", "503_before", "500_after", "drop_after", "rate_limited")
SLOW = ("sleep_before", "sleep_after", "drip")
STRANGE = ("garbage", "html_200", "missing_id", "redirect_308", "other_email")
BY_REFERENCE = ("other_reference", "two_companies", "lag", "drop_after+lag")
HARMLESS = ("", "expired_token", "lag")
TOKEN = ("token:503_before", "token:drop_after", "token:html_200", "token:sleep_before")
ASKING = tuple(
    f"drop_after+find_registration:{fault}"
    for fault in ("500_after", "drop_after", "garbage", "missing_id", "other_email", "other_reference", "lag")
)

Expected = set[tuple[int | None, str]]
MADE, CHECKING = (201, "mapped"), (202, "checking")
AWAY, TIMED_OUT, BAD = (503, "mbiz_unavailable"), (504, "mbiz_timeout"), (502, "mbiz_bad_response")


@dataclass(frozen=True, slots=True)
class Case:
    """`point` is a crash point, `kill` for a kill from outside, or empty; `fault` may name several and their calls."""

    system: System
    action: Action
    point: str
    fault: str
    way: Way

    def __str__(self) -> str:
        return "-".join(filter(None, (self.system, self.action, self.point, self.fault, self.way)))

    @property
    def armed(self) -> bool:
        return self.point not in ("", "kill")

    def faults(self) -> Iterator[tuple[str, str, float | None]]:
        """What to script at mbizmarket: call, fault, seconds."""
        for part in filter(None, self.fault.split("+")):
            call, _, fault = part.rpartition(":")
            seconds = SECONDS.get(fault)
            if self.point == "kill" and fault in SLOW:
                seconds = DRIP / 10 if fault == "drip" else DEADLINE / 2  # the kill comes in the middle
            yield call or CALLS.get(self.action, "any"), fault, seconds

    @property
    def must_die(self) -> bool:
        """Whether the first try itself gets as far as the crash point."""
        return self.armed and (self.fault in HARMLESS or self.point == "after_intent")

    def expected(self) -> Expected:
        """The answers that the first try may get, unless it dies."""
        if self.action == "unlink":
            return {(204, "")}
        if self.fault.startswith("token:"):
            slow = self.action != "register" and self.fault.endswith("sleep_before")
            return {TIMED_OUT if slow else AWAY}
        if self.point == "kill" and self.fault in SLOW:
            return {MADE}
        if self.fault in HARMLESS or (self.action, self.fault) == ("confirm", "two_companies"):
            return {MADE}
        if self.action == "register":
            return {CHECKING}
        if self.fault == "two_companies":
            return {(409, "company_choice_required")}
        return {AWAY if self.fault in CUT else TIMED_OUT if self.fault in SLOW else BAD}


def matrix(seed: int) -> list[Case]:
    """Every case, each with a way back that the seed chooses."""
    chance = random.Random(seed)
    return [
        Case(system, action, point, fault, _way(chance, action, point, fault))
        for system in SYSTEMS
        for action, point, fault in _combinations()
    ]


def selection(seed: int) -> list[Case]:
    """A part for every day: each action, each crash point and each kind of fault, spread over both databases."""
    wanted: list[tuple[Action, str, str, Way]] = [
        ("register", "", "", "again"),
        ("register", "", "500_after", "settle"),
        ("register", "", "drop_after+lag", "entry"),
        ("register", "", "503_before", "again"),
        ("register", "", "sleep_before", "again"),
        ("register", "", "two_companies", "login"),
        ("register", "", "other_reference", "again"),
        ("register", "", "redirect_308", "again"),
        ("register", "", "drop_after+find_registration:other_email", "again"),
        ("register", "", "token:drop_after", "again"),
        ("register", "after_intent", "", "entry"),
        ("register", "after_upstream", "", "again"),
        ("register", "before_commit", "", "login"),
        ("register", "before_commit", "drop_after", "again"),
        ("register", "after_commit", "", "again"),
        ("register", "kill", "sleep_after", "settle"),
        ("register", "", "garbage", "entry"),
        ("login", "", "drip", "again"),
        ("login", "", "other_email", "again"),
        ("login", "", "expired_token", "again"),
        ("login", "before_commit", "", "again"),
        ("confirm", "", "two_companies", "again"),
        ("confirm", "", "html_200", "again"),
        ("confirm", "after_commit", "", "again"),
        ("unlink", "before_commit", "", "again"),
        ("unlink", "after_commit", "", "again"),
    ]
    first = seed % len(SYSTEMS)
    return [Case(SYSTEMS[(first + n) % 2], *one) for n, one in enumerate(wanted)]


def _combinations() -> Iterator[tuple[Action, str, str]]:
    for fault in ("", "expired_token", *CUT, *SLOW, *STRANGE, *BY_REFERENCE, *TOKEN, *ASKING):
        yield "register", "", fault
    for point in POINTS["register"]:
        for fault in ("", "expired_token", "lag", "drop_after", "drop_after+lag", "503_before", "html_200"):
            yield "register", point, fault
    for fault in ("", "503_before", "drop_after", "garbage", "lag", *SLOW):
        yield "register", "kill", fault
    proofs: tuple[Action, ...] = ("login", "confirm")
    for action in proofs:
        for fault in ("", "expired_token", "two_companies", *CUT, *SLOW, *STRANGE, *TOKEN):
            yield action, "", fault
        for point in POINTS[action]:
            for fault in ("", "expired_token", "500_after"):
                yield action, point, fault
        for fault in ("", *SLOW):
            yield action, "kill", fault
    for point in ("", *POINTS["unlink"], "kill"):
        for fault in ("", "500_after"):
            yield "unlink", point, fault


def _way(chance: random.Random, action: Action, point: str, fault: str) -> Way:
    if action != "register":
        return "again"
    ways: list[Way] = ["again", "settle", "entry", "login"]
    # The service's own rounds come every five seconds: only where they find the account at their first question.
    if fault in ("500_after", "drop_after", "html_200") and point in ("", "before_commit"):
        ways.append("loop")
    return chance.choice(ways)
