"""What all calls to mbizmarket share: one budget of time, bounded answers, JSON checked before it is used."""

import asyncio
import json
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

import httpx
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from app.mbiz.errors import BadAnswer, FieldFault

MAX_FAULTS = 20
MAX_RETRY_AFTER = 24 * 3600

_FIELDS_SENT = frozenset(
    {
        "email",
        "password",
        "contact_name",
        "phone",
        "company",
        "company.name",
        "company.address",
        "company.address.street",
        "company.address.city",
        "company.address.postal_code",
    }
)
_FAULT_CODES = frozenset({"required", "invalid", "too_short", "too_long", "too_weak", "not_served"})

Model = TypeVar("Model", bound=BaseModel)


@dataclass(slots=True)
class Spent:
    """What the calls for one request came to."""

    calls: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request of ours, handed to every call to mbizmarket that is made for it.

    `deadline` is an instant of time.monotonic(): a single budget, which fetching our own token spends too.
    """

    deadline: float
    request_id: str
    traceparent: str | None = None
    spent: Spent = field(default_factory=Spent, compare=False)

    @classmethod
    def within(cls, seconds: float, request_id: str, traceparent: str | None = None) -> "Call":
        return cls(time.monotonic() + seconds, request_id, traceparent)

    def remaining(self) -> float:
        """Seconds left; zero or less once the deadline has passed."""
        return self.deadline - time.monotonic()

    def at_most(self, seconds: float) -> "Call":
        """The same request with a deadline no later than `seconds` from now."""
        return replace(self, deadline=min(self.deadline, time.monotonic() + seconds))

    def patience(self) -> dict[str, float | None]:
        """Limits for getting a connection: a third of what is left for a free one, a third for TCP and TLS.

        A dead host then shows as a connection never made, known to have sent nothing, before the deadline
        strikes, which knows nothing. Reading has no limit here: httpx starts it anew with every byte.
        """
        third = max(self.remaining() / 3, 0.001)
        return {"connect": third, "read": None, "write": None, "pool": third}


class Answer(NamedTuple):
    """`content` is empty when it was too large or compressed; the status still decides where no JSON is needed."""

    status_code: int
    headers: httpx.Headers
    content: bytes


async def acquire(slots: asyncio.Semaphore, seconds: float | None) -> None:
    """Raises TimeoutError. Nearly always there is one, and nothing to be timed."""
    if not slots.locked():
        await slots.acquire()
        return
    async with asyncio.timeout(seconds):
        await slots.acquire()


def same_email(a: str, b: str) -> bool:
    """mbizmarket compares addresses without regard to case; blanks around them are slips of the keyboard."""
    return a.strip().casefold() == b.strip().casefold()


def same_mailbox(a: str, b: str) -> bool:
    """Where an address alone is the proof: letters that only fold into others (ſ to s) are another mailbox."""
    return a.strip().encode().lower() == b.strip().encode().lower()  # ASCII's letters alone


def segment(value: str) -> str:
    """One path segment, whatever the id holds: a slash stays inside it, and `..` climbs nowhere."""
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def may_open(url: str, schemes: Container[str]) -> bool:
    """Whether a browser may be sent there: an absolute URL of these schemes, without tricks."""
    if not url.isprintable() or any(map(str.isspace, url)):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname)
    except ValueError:
        return False


def encode(fields: Mapping[str, object]) -> bytes:
    """JSON in ASCII, which is UTF-8: escapes carry any str unchanged, even one that UTF-8 cannot encode."""
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def parse(answer: Answer, model: type[Model]) -> Model:
    """The answer's JSON as `model`, or BadAnswer. pydantic's errors quote what they read: they stop here."""
    if not _is_json(answer):
        raise BadAnswer
    try:
        return model.model_validate_json(answer.content)
    except ValidationError:
        raise BadAnswer from None


def is_away(answer: Answer) -> bool:
    """Whether the answer says that mbizmarket cannot work for us now, whatever it was asked."""
    status = answer.status_code
    # Still refused with a fresh token: the trouble is ours and mbizmarket's, nobody's password is wrong.
    if status == 401:
        return error_code(answer) == "invalid_token"
    return status in (408, 429) or status >= 500


def error_code(answer: Answer, key: str = "code") -> str | None:
    code = _object(answer).get(key)
    return code if isinstance(code, str) else None


def faults(answer: Answer) -> tuple[FieldFault, ...]:
    """The fields a refusal names, as far as we sent them; a code we do not know counts as `invalid`."""
    listed = _object(answer).get("errors")
    found = (_fault(entry) for entry in listed) if isinstance(listed, list) else ()
    return tuple(fault for fault in found if fault)[:MAX_FAULTS]


def retry_after(answer: Answer) -> int | None:
    """Retry-After in whole seconds, from 1 to a day; None when it is missing or no number, such as a date."""
    value = answer.headers.get("retry-after", "").strip()
    if not (value.isascii() and value.isdigit()):
        return None
    # int() refuses a number of thousands of digits; ten say "for ever" just as well.
    return min(max(int(value[:10]), 1), MAX_RETRY_AFTER)


def _fault(entry: object) -> FieldFault | None:
    if not isinstance(entry, dict):
        return None
    field, code = entry.get("field"), entry.get("code")
    if not isinstance(field, str) or field not in _FIELDS_SENT:
        return None
    return FieldFault(field, code if isinstance(code, str) and code in _FAULT_CODES else "invalid")


def _object(answer: Answer) -> dict[str, Any]:
    """The answer's JSON object, or an empty one for whatever else it may be."""
    try:
        content = from_json(answer.content) if _is_json(answer) else None
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _is_json(answer: Answer) -> bool:
    media_type: str = answer.headers.get("content-type", "").split(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")
