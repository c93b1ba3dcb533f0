"""The weather that an e-mail address carries with it; the table is in the package's docstring."""

import asyncio

from starlette.responses import Response

from app.mbiz.sandbox.answers import gateway_page, later
from app.mbiz.sandbox.wire import ConnectionCut, Cut

_KINDS = frozenset({"down", "slow", "lost", "garbled"})


def weather_of(email: str) -> str | None:
    kind = email.strip().lower().partition("@")[0].partition("+")[0]
    return kind if kind in _KINDS else None


async def brave(email: str, slow_seconds: float) -> None:
    """Waits or raises PartnerError 503, before any work is done."""
    match weather_of(email):
        case "down":
            raise later(503, "unavailable")
        case "slow":
            await asyncio.sleep(slow_seconds)


def spoiled_read(email: str) -> Response | None:
    """What becomes of the answer to a search or a log-in."""
    return gateway_page() if weather_of(email) == "garbled" else None


def spoiled_registration(email: str) -> Response | None:
    """What becomes of the answer that would have told of a new account."""
    match weather_of(email):
        case "lost":
            return Cut(ConnectionCut("this answer was lost"))
        case "garbled":
            return gateway_page()
    return None
