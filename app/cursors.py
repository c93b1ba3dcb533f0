"""Cursors of pages: where the page before ended, opaque to whoever sends them back."""

import base64
import json
from typing import TypeVar

from app.fields import CONTROL

MAX_CURSOR = 2000

T = TypeVar("T", int, str)


class BadCursor(Exception):
    """The cursor is none of ours."""


def write(*place: int | str) -> str:
    text = json.dumps(place, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(cursor: str, kind: type[T], length: int) -> list[T]:
    """A place of `length` parts of this kind. Raises BadCursor."""
    if len(cursor) > MAX_CURSOR:
        raise BadCursor
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        place = json.loads(text)
    except (ValueError, RecursionError):
        raise BadCursor from None
    if not isinstance(place, list) or len(place) != length or not all(_fits(part, kind) for part in place):
        raise BadCursor
    return place


def _fits(part: object, kind: type[T]) -> bool:
    """A whole number that a database can hold, or text that it can."""
    if isinstance(part, int) and not isinstance(part, bool):
        return kind is int and 0 <= part < 2**63
    return kind is str and isinstance(part, str) and not CONTROL.search(part)
