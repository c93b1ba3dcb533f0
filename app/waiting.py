"""Until when what runs for a request may wait for the database."""

import asyncio
import time
from contextvars import ContextVar
from types import TracebackType
from typing import Self

# An instant of time.monotonic(), which the edge sets. What runs for no request waits for as long as it takes.
wait_until: ContextVar[float] = ContextVar("wait_until")
AGAIN_SECONDS = 0.2  # for tidying up; a server that has gone silent would keep that waiting as well


class OutOfTime(Exception):
    """What was waited for did not come in the request's time."""


def seconds_left(least: float = 0.0) -> float | None:
    """At least so many; None for what runs for no request."""
    until = wait_until.get(None)
    return None if until is None else max(until - time.monotonic(), least)


class Limit:
    """Cancels what its block waits for when the request's time is over, and raises OutOfTime.

    As asyncio.timeout, at half of its cost; and what tidies up after that and waits as well is cancelled again.
    It has `least` seconds, also when the time is over.
    """

    __slots__ = ("_before", "_cancels", "_least", "_task", "_timer")

    def __init__(self, least: float = 0.0) -> None:
        self._least = least
        self._cancels = 0
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        left = seconds_left(self._least)
        task = asyncio.current_task()
        if left is not None and task is not None:
            self._task = task
            self._before = task.cancelling()
            self._timer = asyncio.get_running_loop().call_later(left, self._cancel)
        return self

    def _cancel(self) -> None:
        self._cancels += 1
        self._task.cancel()
        self._timer = self._task.get_loop().call_later(AGAIN_SECONDS, self._cancel)

    def lift(self) -> None:
        """The rest of the block waits for as long as it takes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.lift()
        for _ in range(self._cancels):
            self._task.uncancel()
        by_us = self._cancels and self._task.cancelling() <= self._before  # and not by somebody else, too
        if by_us and isinstance(error, asyncio.CancelledError):
            raise OutOfTime from None
