"""Telling whoever watches of each call to mbizmarket: its kind, how it ends, how long it takes."""

import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from app.mbiz.wire import Call

# Entered with a call's kind when it begins; what it gives is what the call goes on with, and it sees how that ends.
Watch = Callable[[str, Call], AbstractContextManager[Call]]
Asking = TypeVar("Asking", bound=Callable[..., Coroutine[Any, Any, Any]])


@contextmanager
def unwatched(_kind: str, call: Call) -> Iterator[Call]:
    yield call


def watched(kind: str) -> Callable[[Asking], Asking]:
    """For a method that is one call to mbizmarket; the request that it is made for is charged with its time."""

    def decorate(method: Asking) -> Asking:
        @wraps(method)
        async def ask(self: Any, call: Call, *args: Any, **kwargs: Any) -> Any:
            began = time.monotonic()
            try:
                with self.watch(kind, call) as told:
                    return await method(self, told, *args, **kwargs)
            finally:
                call.spent.calls += 1
                call.spent.seconds += time.monotonic() - began

        return cast(Asking, ask)

    return decorate
