"""Until when what runs for a request may wait for the database."""

import asyncio
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Self

# An instant of time.monotonic(), which the edge sets. What runs for no request waits for as long as it takes.
wait_until: ContextVar[float] = ContextVar("wait_until")
TICK_SECONDS = 0.02  # so much later it may become
AGAIN_SECONDS = 0.2  # for tidying up; a server that has gone silent would keep that waiting as well


class OutOfTime(Exception):
    """What was waited for did not come in the request's time."""


def seconds_left(least: float = 0.0) -> float | None:
    """At least so many; None for what runs for no request."""
    until = wait_until.get(None)
    return None if until is None else max(until - time.monotonic(), least)


class Limit:
    """Cancels what its block waits for when the request's time is over, and raises OutOfTime.

    As asyncio.timeout, for less; and what tidies up after that and waits as well is cancelled again.
    It has `least` seconds, also when the time is over.
    """

    __slots__ = ("_before", "_cancels", "_least", "_task", "_watch", "until")

    def __init__(self, least: float = 0.0) -> None:
        self._least = least
        self._cancels = 0
        self._watch: _Watch | None = None

    def __enter__(self) -> Self:
        left = seconds_left(self._least)
        task = asyncio.current_task()
        if left is not None and task is not None:
            self.until = time.monotonic() + left
            self._task = task
            self._before = task.cancelling()
            self._watch = _watch_of(task.get_loop())
            self._watch.add(self)
        return self

    def cancel(self) -> None:
        self._cancels += 1
        self._task.cancel()
        self.until += AGAIN_SECONDS

    def lift(self) -> None:
        """The rest of the block waits for as long as it takes."""
        if self._watch is not None:
            self._watch.limits.discard(self)

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.lift()
        for _ in range(self._cancels):
            self._task.uncancel()
        by_us = self._cancels and self._task.cancelling() <= self._before  # and not by somebody else, too
        if by_us and isinstance(error, asyncio.CancelledError):
            raise OutOfTime from None


class _Watch:
    """One timer of a loop for all its limits. It ends when there are none: one each would be most of what they cost."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.limits: set[Limit] = set()
        self._ticks = False

    def add(self, limit: Limit) -> None:
        self.limits.add(limit)
        if not self._ticks:
            self._ticks = True
            self.loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._ticks = bool(self.limits)
        if not self._ticks:
            return
        self.loop.call_later(TICK_SECONDS, self._tick)
        now = time.monotonic()
        for limit in [each for each in self.limits if each.until <= now]:
            limit.cancel()


_last: _Watch | None = None  # a server has one loop; the others' go on by themselves


def _watch_of(loop: asyncio.AbstractEventLoop) -> _Watch:
    global _last
    if _last is None or _last.loop is not loop:
        _last = _Watch(loop)
    return _last
