"""Keeps one kind of call to mbizmarket from starving the others, and calls off while mbizmarket is away."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from app.mbiz.errors import MbizError, NotSent
from app.mbiz.wire import Answer, Call, acquire, is_away

Kind = Literal["lookup", "login", "register", "session"]
State = Literal["closed", "open", "half_open"]

THRESHOLD = 5  # failures in a row
PAUSE = 5.0  # seconds an open breaker sends nothing
TOGETHER = 0.5  # seconds in which calls that were under way together fail as one
WAIT_PART = 10  # a call over the limit waits for one part in ten of its time

# Calls of a kind at a time, per process. Registrations are rare and slow; all together stay well below the 1,024
# files that many systems let a process open.
LIMITS: Mapping[Kind, int] = {"lookup": 200, "login": 200, "register": 50, "session": 100}


class Breaker:
    """The circuit breaker and the limit of one kind of call. Metrics may read every public field and property.

    Closed, it opens after `threshold` failures in a row. A failure says that mbizmarket is away: no connection, no
    token, a cut, a timeout, 408, 429, a 5xx, or a fresh token of ours refused; 429 too, since sending less is what it
    asks for. Any other answer is a success, whatever it means to the person; a call that its own caller cancels is
    neither. In a row, and not a share of all calls: one success proves that mbizmarket is there, so that somebody
    whose log-ins always hang shuts nobody else out; and at night a share would wait long for enough calls to judge by.
    Calls under way together that fail within TOGETHER count once: one reset connection at mbizmarket's edge is no
    outage, though it cuts fifty of them.

    Open, nothing is sent for `pause` seconds. Half-open, exactly one call goes out as the probe: its success closes
    the breaker, its failure opens it again, its cancellation leaves the place to the next. What was under way before
    the breaker opened changes nothing any more.
    """

    def __init__(self, limit: int, threshold: int = THRESHOLD, pause: float = PAUSE) -> None:
        self.limit = limit
        self.in_flight = 0
        self.failures = 0  # in a row
        self.opened = 0  # how often; this one and the next two count from the start of the process
        self.refused = 0  # calls not sent because it was not closed
        self.over_limit = 0  # calls not sent because none of the `limit` ended in time
        self._threshold = threshold
        self._pause = pause
        self._slots = asyncio.Semaphore(limit)
        self._open_until: float | None = None  # time.monotonic(); None when closed
        self._probing = False
        self._last_failure = -math.inf

    @property
    def state(self) -> State:
        if self._open_until is None:
            return "closed"
        return "open" if time.monotonic() < self._open_until else "half_open"

    async def run(self, call: Call, exchange: Callable[[], Awaitable[Answer]]) -> Answer:
        """What the exchange answers or raises. NotSent when it may not begin: at once, or over the limit soon."""
        probe = self._admit()
        try:
            await self._take_slot(call, probe)
            try:
                return await self._judged(exchange, probe)
            finally:
                self.in_flight -= 1
                self._slots.release()
        finally:
            if probe:
                self._probing = False

    def _admit(self) -> bool:
        """Whether the call is the probe."""
        state = self.state
        if state == "open" or self._probing:
            raise self._refusal()
        self._probing = state == "half_open"
        return self._probing

    async def _take_slot(self, call: Call, probe: bool) -> None:
        try:
            await acquire(self._slots, call.remaining() / WAIT_PART)
        except TimeoutError:
            self.over_limit += 1
            raise NotSent from None
        if not probe and self._open_until is not None:  # it has opened while we waited
            self._slots.release()
            raise self._refusal()
        self.in_flight += 1

    async def _judged(self, exchange: Callable[[], Awaitable[Answer]], probe: bool) -> Answer:
        began = time.monotonic()
        try:
            answer = await exchange()
        except MbizError:
            self._failed(began, probe)
            raise
        if is_away(answer):
            self._failed(began, probe)
        else:
            self._succeeded(probe)
        return answer

    def _succeeded(self, probe: bool) -> None:
        if probe or self._open_until is None:
            self._open_until = None
            self.failures = 0

    def _failed(self, began: float, probe: bool) -> None:
        now = time.monotonic()
        known = began < self._last_failure and now - self._last_failure < TOGETHER
        if not probe and (known or self._open_until is not None):
            return
        self._last_failure = now
        self.failures += 1
        if probe or self.failures >= self._threshold:
            self._open_until = now + self._pause
            self.opened += 1

    def _refusal(self) -> NotSent:
        """With the seconds left; while a probe is out nobody knows, and a whole pause is a fair guess."""
        self.refused += 1
        left = (self._open_until or 0.0) - time.monotonic()
        return NotSent(max(math.ceil(left if left > 0 else self._pause), 1))


def make_breakers(limits: Mapping[Kind, int] = LIMITS) -> Mapping[Kind, Breaker]:
    """A breaker for each kind of call; fetching our own token is part of the call that needs it."""
    return {kind: Breaker(limit) for kind, limit in limits.items()}
