"""Faults by script, for tests that need mbizmarket to fail at an exact moment.

A queued fault hits the next `times` requests of its kind of call that carry a valid token: one fault for each
request, oldest first. `any` stands for every kind. `seconds` means something where its default is given.

    before the work     refuse          the connection is closed (in process: ConnectionRefused)
                        503_before      503, Retry-After `seconds` (5)
                        rate_limited    429, Retry-After `seconds` (5)
                        redirect_308    308 to the very same address: who follows it gets a real answer
                        expired_token   401 `invalid_token`; not for token
                        sleep_before    sleeps `seconds` (30), then works, even if nobody waits any more
    after the work      500_after       500
                        drop_after      the connection is closed without an answer (in process: ConnectionCut)
                        sleep_after     sleeps `seconds` (30), then answers
                        drip            answers one byte every `seconds` (0.2)
                        garbage         bytes that are not JSON, called application/json
                        html_200        an HTML page with status 200
                        missing_id      no account_id, company_id, redirect_url, access_token
                        other_email     another e-mail in every account of the answer
                        other_reference another reference; register and find_registration
                        two_companies   a second company in every account of the answer
    look-ups            lag             register: the reference it makes cannot be looked up for
                                        `seconds` (5), whatever else befalls the request
                                        find_registration: hides references younger than `seconds` (5)

other_email and two_companies need a call whose answer has an account.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.mbiz.sandbox.answers import RETRY_AFTER, Json, PartnerError, gateway_page, later
from app.mbiz.sandbox.wire import ConnectionCut, ConnectionRefused, Cut, dripped

Call = Literal["token", "search", "login", "register", "find_registration", "session", "company"]
FaultName = Literal[
    "refuse", "503_before", "rate_limited", "redirect_308", "expired_token", "sleep_before",
    "500_after", "drop_after", "sleep_after", "drip", "garbage", "html_200", "missing_id",
    "other_email", "other_reference", "two_companies", "lag",
]  # fmt: skip

_BY_REFERENCE = frozenset({"register", "find_registration"})
_WITH_ACCOUNT = _BY_REFERENCE | {"search", "login"}
_ALL_BUT_TOKEN = _WITH_ACCOUNT | {"session", "company"}
_ONLY_FOR: dict[str, frozenset[str]] = {
    "expired_token": _ALL_BUT_TOKEN,
    "other_email": _WITH_ACCOUNT,
    "two_companies": _WITH_ACCOUNT,
    "other_reference": _BY_REFERENCE,
    "lag": _BY_REFERENCE,
}


class Fault(BaseModel):
    model_config = ConfigDict(extra="forbid")

    call: Call | Literal["any"]
    fault: FaultName
    times: Annotated[int, Field(ge=1, le=10_000)] = 1
    seconds: Annotated[float, Field(gt=0, le=3600)] | None = None

    @model_validator(mode="after")
    def _can_hit(self) -> "Fault":
        if self.call != "any" and not self.hits(self.call):
            raise ValueError("this fault cannot hit that call")
        return self

    def hits(self, call: str) -> bool:
        return self.call in (call, "any") and call in _ONLY_FOR.get(self.fault, frozenset({call}))

    def seconds_or(self, default: float) -> float:
        return default if self.seconds is None else self.seconds


class FaultQueue:
    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def waiting(self) -> list[Json]:
        with self._lock:
            return [fault.model_dump() for fault in self._waiting]

    def take(self, call: Call) -> Fault | None:
        return self._take(lambda fault: fault.fault != "lag" and fault.hits(call))

    def take_lag(self, call: Call) -> float | None:
        """Seconds for which a look-up is to know nothing of a reference."""
        fault = self._take(lambda fault: fault.fault == "lag" and fault.hits(call))
        return fault.seconds_or(5) if fault else None

    def _take(self, wanted: Callable[[Fault], bool]) -> Fault | None:
        with self._lock:
            for fault in self._waiting:
                if wanted(fault):
                    fault.times -= 1
                    if not fault.times:
                        self._waiting.remove(fault)
                    return fault
        return None


async def before(fault: Fault, here: str) -> Response | None:
    """The answer in place of the work, or None: do the work. `here` is the request's own path."""
    match fault.fault:
        case "refuse":
            return Cut(ConnectionRefused("the sandbox refused this connection"))
        case "503_before":
            return later(503, "unavailable", fault.seconds_or(RETRY_AFTER)).as_response()
        case "rate_limited":
            return later(429, "rate_limited", fault.seconds_or(RETRY_AFTER)).as_response()
        case "redirect_308":
            return RedirectResponse(here, 308)
        case "expired_token":
            return invalid_token().as_response()
        case "sleep_before":
            await asyncio.sleep(fault.seconds_or(30))
    return None


async def after(fault: Fault, answer: Response) -> Response:
    """What becomes of the answer once the work is done."""
    match fault.fault:
        case "500_after":
            return PartnerError(500, "internal_error", "Something went wrong.").as_response()
        case "drop_after":
            return Cut(ConnectionCut("the sandbox cut this connection"))
        case "sleep_after":
            await asyncio.sleep(fault.seconds_or(30))
        case "drip":
            return dripped(answer, fault.seconds_or(0.2))
        case "garbage":
            return Response(b'{"account": \xff\xfe', answer.status_code, media_type="application/json")
        case "html_200":
            return gateway_page()
        case "missing_id" | "other_email" | "other_reference" | "two_companies":
            return _altered(answer, _ALTERATIONS[fault.fault])
    return answer


def invalid_token() -> PartnerError:
    headers = {"WWW-Authenticate": "Bearer"}
    return PartnerError(401, "invalid_token", "The access token is unknown or expired.", headers=headers)


Alteration = Callable[[Json], Json]


def _altered(answer: Response, alter: Alteration) -> Response:
    """The answer with every JSON object in it altered, the innermost first."""
    body = json.loads(bytes(answer.body), object_hook=alter)
    return JSONResponse(body, answer.status_code)


def _without_ids(item: Json) -> Json:
    hidden = ("account_id", "company_id", "redirect_url", "access_token")
    return {key: value for key, value in item.items() if key not in hidden}


def _other_email(item: Json) -> Json:
    return item | {"email": "orang.lain@mbiz.example"} if "account_id" in item else item


def _other_reference(item: Json) -> Json:
    return item | {"reference": "another-reference"} if "reference" in item else item


def _two_companies(item: Json) -> Json:
    companies: list[Any] = item.get("companies", [])
    if "account_id" not in item or not companies:
        return item
    second = companies[0] | {"company_id": f"{companies[0]['company_id']}-second", "name": "Perusahaan Kedua"}
    return item | {"companies": [*companies, second]}


_ALTERATIONS: dict[str, Alteration] = {
    "missing_id": _without_ids,
    "other_email": _other_email,
    "other_reference": _other_reference,
    "two_companies": _two_companies,
}
