"""Breakers and limits: what opens them and what does not, one probe, and no kind of call in another's way."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import pytest
from app.mbiz.breaker import LIMITS, PAUSE, THRESHOLD, TOGETHER, WAIT_PART, Breaker, Kind, make_breakers
from app.mbiz.client import Mbizmarket
from app.mbiz.errors import (
    InvalidCredentials,
    MbizError,
    NotSent,
    OutcomeUnknown,
    TimedOut,
    Unavailable,
)

from tests.mbiz.market import (
    A_COMPANY,
    ACCOUNT,
    AN_ACCOUNT,
    ASKS,
    COMPANY,
    EMAIL,
    FORM,
    GOOD,
    PASSWORD,
    REFERENCE,
    REGISTRATION,
    Ask,
    Market,
    call,
    error,
    page,
    registration,
)
from tests.mbiz.servers import answers, hangs, serving, until

pytestmark = pytest.mark.anyio

SOON = 0.1  # seconds: the pause of a breaker that a test waits for
KINDS: dict[str, Kind] = {
    "search": "lookup",
    "registration": "lookup",
    "company": "lookup",
    "login": "login",
    "session": "session",
    "register": "register",
}
CALLS: dict[str, Ask] = {**ASKS, "register": lambda mbiz, within: mbiz.register(within, REFERENCE, FORM)}
FINE: dict[str, httpx.Response] = {**GOOD, "register": httpx.Response(201, json=REGISTRATION)}


@pytest.fixture
async def market() -> AsyncIterator[Market]:
    async with opened() as market:
        yield market


@asynccontextmanager
async def opened(limit: int = 100, pause: float = PAUSE) -> AsyncIterator[Market]:
    """A market whose adapter has its token already, with `limit` and `pause` for every kind of call."""
    market = Market(breakers={kind: Breaker(limit, pause=pause) for kind in LIMITS})
    for name, answer in FINE.items():
        getattr(market, name).mock(return_value=answer)
    await market.mbiz.open_session(call(), "A-1", "C-1", {})
    yield market
    await market.mbiz.aclose()


async def fail(market: Market, name: str, times: int = THRESHOLD) -> None:
    """This call fails so often, one after the other, and would succeed from then on."""
    route = getattr(market, name).mock(return_value=httpx.Response(503))
    for _ in range(times):
        with pytest.raises((Unavailable, OutcomeUnknown)):
            await CALLS[name](market.mbiz, call())
    route.mock(return_value=FINE[name])


def breaker_of(market: Market, name: str) -> Breaker:
    return market.mbiz.breakers[KINDS[name]]


def state(market: Market, name: str) -> str:
    return breaker_of(market, name).state


def tally(outcomes: list[Any]) -> dict[str, int]:
    """How often each type is among the outcomes."""
    names = [type(outcome).__name__ for outcome in outcomes]
    return {name: names.count(name) for name in names}


@contextmanager
def at_once() -> Iterator[None]:
    """Sooner than a call over the limit would give up; loose enough for a busy machine."""
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < call().remaining() / WAIT_PART


class Gate:
    """Answers once it is opened; `waiting` callers are at it."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.open = asyncio.Event()
        self.waiting = 0

    async def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.waiting += 1
        await self.open.wait()
        return self.answer

    async def holds(self, callers: int) -> None:
        await until(lambda: self.waiting >= callers)


def start(market: Market, name: str, times: int = 1, seconds: float = 5) -> "list[asyncio.Task[object]]":
    async def ask() -> object:
        return await CALLS[name](market.mbiz, call(seconds))

    return [asyncio.create_task(ask()) for _ in range(times)]


async def finish(tasks: "list[asyncio.Task[object]]") -> list[Any]:
    return await asyncio.gather(*tasks, return_exceptions=True)


# Opening


@pytest.mark.parametrize("name", CALLS)
async def test_ask_after_failures_in_a_row(market: Market, name: str) -> None:
    """Refused at once with the seconds that are left; nothing is sent, not even for a token."""
    await fail(market, name, THRESHOLD - 1)
    assert "closed" == state(market, name)
    await fail(market, name, 1)
    assert "open" == state(market, name)

    sent = len(market.arrived)
    with at_once():
        for _ in range(10):
            with pytest.raises(NotSent) as refused:
                await CALLS[name](market.mbiz, call())
            assert PAUSE == refused.value.retry_after
    assert sent == len(market.arrived)
    breaker = breaker_of(market, name)
    assert (1, 10, THRESHOLD, 0) == (breaker.opened, breaker.refused, breaker.failures, breaker.in_flight)


async def test_ask_another_kind_while_one_is_open(market: Market) -> None:
    """Each kind of call has a breaker of its own, shared by all look-ups."""
    await fail(market, "company")
    for name in ("search", "registration"):
        with pytest.raises(NotSent):
            await CALLS[name](market.mbiz, call())
    for name in ("login", "register", "session"):
        assert await CALLS[name](market.mbiz, call()) is not None
    states = {kind: breaker.state for kind, breaker in market.mbiz.breakers.items()}
    assert {"lookup": "open", "login": "closed", "register": "closed", "session": "closed"} == states


AWAY = [
    httpx.Response(408),
    httpx.Response(429),
    httpx.Response(500),
    page(502),
    httpx.Response(503),
    error(401, "invalid_token"),
    httpx.ConnectError("no"),
    httpx.ConnectTimeout("no"),
    httpx.ReadError("no"),
    httpx.RemoteProtocolError("no"),
    ConnectionResetError(),
    TimeoutError(),
]


@pytest.mark.parametrize("answer", AWAY, ids=repr)
async def test_ask_while_mbizmarket_is_away(market: Market, answer: httpx.Response | Exception) -> None:
    """However it shows, it counts."""
    market.login.mock(side_effect=lambda _: answer if isinstance(answer, httpx.Response) else _throw(answer))
    for _ in range(THRESHOLD):
        with pytest.raises(MbizError):
            await market.mbiz.log_in(call(), EMAIL, PASSWORD)
    assert "open" == state(market, "login")


def _throw(failure: Exception) -> httpx.Response:
    raise failure


@pytest.mark.parametrize("name", ["login", "register"])
async def test_ask_too_slowly(market: Market, name: str) -> None:
    """A deadline that strikes while mbizmarket works counts, too."""
    getattr(market, name).mock(side_effect=Gate(FINE[name]))
    for _ in range(THRESHOLD):
        with pytest.raises((TimedOut, OutcomeUnknown)):
            await CALLS[name](market.mbiz, call(0.01))
    assert "open" == state(market, name)


async def test_ask_without_a_token() -> None:
    """A call that cannot even get our token has failed; while its breaker is open, no token is asked for."""
    market = Market()
    market.token.respond(503)
    for _ in range(THRESHOLD + 3):
        with pytest.raises(NotSent):
            await market.mbiz.get_company(call(), "C-1")
    assert (THRESHOLD, 0) == (market.token.call_count, market.company.call_count)
    assert ("open", "closed") == (state(market, "company"), state(market, "login"))
    await market.mbiz.aclose()


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("login", error(401, "invalid_credentials")),
        ("login", error(423, "account_locked")),
        ("login", page(200)),
        ("register", error(409, "email_taken")),
        ("register", error(422, "invalid")),
        ("register", httpx.Response(302)),
        ("company", error(404, "company_not_found")),
        ("registration", error(404, "registration_not_found")),
        ("session", error(409, "company_inactive")),
        ("session", httpx.Response(418)),
    ],
)
async def test_ask_and_hear_a_no(market: Market, name: str, answer: httpx.Response) -> None:
    """Whatever mbizmarket answers to the person, it is there: a no ends the row of failures."""
    await fail(market, name, THRESHOLD - 1)
    getattr(market, name).mock(return_value=answer)
    await finish(start(market, name, 3 * THRESHOLD))
    assert ("closed", 0) == (state(market, name), breaker_of(market, name).failures)


async def test_log_in_beside_somebody_whose_log_ins_hang(market: Market) -> None:
    """One person's account that never answers opens nothing while others get in."""
    slow = Gate(FINE["login"])
    for _ in range(2 * THRESHOLD):
        market.login.mock(side_effect=slow)
        with pytest.raises(TimedOut):
            await market.mbiz.log_in(call(0.01), EMAIL, PASSWORD)
        market.login.mock(return_value=FINE["login"])
        assert AN_ACCOUNT == await market.mbiz.log_in(call(), EMAIL, PASSWORD)
    assert "closed" == state(market, "login")


async def test_ask_by_fifty_who_are_cut_at_once(market: Market) -> None:
    """One broken connection at mbizmarket's edge is one failure, however many calls it carried."""
    gate = Gate(httpx.Response(502))
    market.login.mock(side_effect=gate)
    cut = start(market, "login", 50)
    await gate.holds(50)
    gate.open.set()
    assert {"Unavailable": 50} == tally(await finish(cut))
    assert ("closed", 1) == (state(market, "login"), market.mbiz.breakers["login"].failures)


async def test_ask_by_many_who_fail_for_longer(market: Market) -> None:
    """Calls that go on failing are not taken for one, though all of them were under way together."""
    market.login.mock(side_effect=Gate(FINE["login"]))
    patience = [0.01 + TOGETHER * 1.1 * number for number in range(THRESHOLD)]
    hanging = [task for seconds in patience for task in start(market, "login", 3, seconds)]
    await finish(hanging)
    assert "open" == state(market, "login")


async def test_cancel_calls(market: Market) -> None:
    """What our own callers give up says nothing about mbizmarket: neither failure nor success."""
    await fail(market, "login", THRESHOLD - 1)
    gate = Gate(FINE["login"])
    market.login.mock(side_effect=gate)
    leaving = start(market, "login", 20)
    await gate.holds(20)
    assert 20 == market.mbiz.breakers["login"].in_flight
    for task in leaving:
        task.cancel()
    assert {"CancelledError": 20} == tally(await finish(leaving))

    breaker = market.mbiz.breakers["login"]
    assert ("closed", THRESHOLD - 1, 0) == (breaker.state, breaker.failures, breaker.in_flight)
    await fail(market, "login", 1)
    assert "open" == breaker.state


async def test_ask_too_late(market: Market) -> None:
    """A budget that was spent before the call is nobody's fault but ours."""
    for _ in range(2 * THRESHOLD):
        with pytest.raises(TimedOut):
            await market.mbiz.log_in(call(0), EMAIL, PASSWORD)
    assert ("closed", 0) == (state(market, "login"), market.mbiz.breakers["login"].failures)


# Half-open


async def test_ask_by_fifty_after_the_pause() -> None:
    """Exactly one goes out, the others are refused at once; when it comes back well, all may go."""
    async with opened(pause=SOON) as market:
        await fail(market, "login")
        await asyncio.sleep(SOON)
        assert "half_open" == state(market, "login")
        gate = Gate(FINE["login"])
        market.login.mock(side_effect=gate)
        sent = len(market.arrivals("/v1/login"))

        with at_once():
            crowd = start(market, "login", 50)
            await gate.holds(1)
            done, (probe,) = await asyncio.wait(crowd, timeout=0.05)
        assert {"NotSent": 49} == tally(await finish(list(done)))
        assert (sent + 1, "half_open") == (len(market.arrivals("/v1/login")), state(market, "login"))

        gate.open.set()
        assert AN_ACCOUNT == await probe
        assert "closed" == state(market, "login")
        assert {"Account": 50} == tally(await finish(start(market, "login", 50)))


async def test_probe_and_fail() -> None:
    """One failure is enough to open it again, for another pause."""
    async with opened(pause=SOON) as market:
        await fail(market, "register")
        await asyncio.sleep(SOON)
        await fail(market, "register", 1)
        assert "open" == state(market, "register")
        sent = len(market.arrived)
        with pytest.raises(NotSent) as refused:
            await market.mbiz.register(call(), REFERENCE, FORM)
        assert (1, sent) == (refused.value.retry_after, len(market.arrived))
        await asyncio.sleep(SOON)
        assert registration() == await market.mbiz.register(call(), REFERENCE, FORM)
        assert ("closed", 2) == (state(market, "register"), market.mbiz.breakers["register"].opened)


async def test_probe_and_hear_a_no() -> None:
    """A wrong password shows that mbizmarket is back."""
    async with opened(pause=SOON) as market:
        await fail(market, "login")
        await asyncio.sleep(SOON)
        market.login.mock(return_value=error(401, "invalid_credentials"))
        with pytest.raises(InvalidCredentials):
            await market.mbiz.log_in(call(), EMAIL, PASSWORD)
        assert "closed" == state(market, "login")


async def test_cancel_the_probe() -> None:
    """The next caller takes its place."""
    async with opened(pause=SOON) as market:
        await fail(market, "login")
        await asyncio.sleep(SOON)
        gate = Gate(FINE["login"])
        market.login.mock(side_effect=gate)
        (probe,) = start(market, "login")
        await gate.holds(1)
        probe.cancel()
        assert {"CancelledError": 1} == tally(await finish([probe]))
        assert "half_open" == state(market, "login")

        gate.open.set()
        assert AN_ACCOUNT == await market.mbiz.log_in(call(), EMAIL, PASSWORD)
        assert "closed" == state(market, "login")


async def test_answer_from_before_it_opened(market: Market) -> None:
    """An old call's late success closes nothing, and its late failure does not make the pause longer."""
    gate = Gate(FINE["login"])
    market.login.mock(side_effect=gate)
    old = start(market, "login")
    await gate.holds(1)
    failing = Gate(httpx.Response(503))
    market.login.mock(side_effect=failing)
    old += start(market, "login")
    await failing.holds(1)
    await fail(market, "login")

    gate.open.set()
    failing.open.set()
    assert {"Account": 1, "Unavailable": 1} == tally(await finish(old))
    breaker = market.mbiz.breakers["login"]
    assert ("open", 1, THRESHOLD) == (breaker.state, breaker.opened, breaker.failures)


# Limits


@pytest.mark.parametrize("name", CALLS)
async def test_ask_over_the_limit(name: str) -> None:
    """Waits for a small part of the deadline, then nothing has been sent; others' mistakes are not counted."""
    async with opened(limit=3) as market:
        gate = Gate(FINE[name])
        getattr(market, name).mock(side_effect=gate)
        hanging = start(market, name, 3)
        await gate.holds(3)
        sent, begun = len(market.arrived), time.monotonic()
        with pytest.raises(NotSent):
            await CALLS[name](market.mbiz, call(3))
        assert 0.29 < time.monotonic() - begun < 1
        assert sent == len(market.arrived)
        breaker = breaker_of(market, name)
        assert (3, 3, 1) == (breaker.limit, breaker.in_flight, breaker.over_limit)
        assert ("closed", 0) == (breaker.state, breaker.failures)

        for other in CALLS:
            if KINDS[other] != KINDS[name]:
                assert await CALLS[other](market.mbiz, call()) is not None
        gate.open.set()
        await finish(hanging)
        assert 0 == breaker.in_flight


async def test_ask_just_over_the_limit() -> None:
    """Who waits gets the place of the first that ends, by an answer or by leaving."""
    async with opened(limit=2) as market:
        gate = Gate(FINE["login"])
        market.login.mock(side_effect=gate)
        first, second = start(market, "login", 2)
        await gate.holds(2)
        third, fourth, fifth = start(market, "login", 3)
        await asyncio.sleep(0.01)
        assert 2 == gate.waiting
        fourth.cancel()
        first.cancel()
        await gate.holds(3)
        assert 2 == market.mbiz.breakers["login"].in_flight
        gate.open.set()
        outcomes = await finish([first, second, third, fourth, fifth])
        assert {"CancelledError": 2, "Account": 3} == tally(outcomes)
        assert 0 == market.mbiz.breakers["login"].in_flight


async def test_wait_for_a_place_while_it_opens() -> None:
    """A place that gets free because mbizmarket failed is not used to ask it once more."""
    async with opened(limit=1) as market:
        await fail(market, "login", THRESHOLD - 1)
        gate = Gate(httpx.Response(503))
        market.login.mock(side_effect=gate)
        (last,) = start(market, "login")
        await gate.holds(1)
        waiting = start(market, "login", 3)
        await asyncio.sleep(0.01)
        gate.open.set()
        assert {"Unavailable": 1, "NotSent": 3} == tally(await finish([last, *waiting]))
        assert (1, "open") == (gate.waiting, state(market, "login"))
        assert (0, 3) == (market.mbiz.breakers["login"].in_flight, market.mbiz.breakers["login"].refused)


async def test_probe_without_a_place() -> None:
    """A probe that finds every place taken by old calls is none, and the next one may try."""
    async with opened(limit=THRESHOLD, pause=SOON) as market:
        gate = Gate(FINE["login"])
        market.login.mock(side_effect=gate)
        old = start(market, "login", THRESHOLD - 1)
        await gate.holds(THRESHOLD - 1)
        await fail(market, "login")
        market.login.mock(side_effect=gate)
        await asyncio.sleep(SOON)
        (probe,) = start(market, "login")
        await gate.holds(THRESHOLD)
        probe.cancel()
        await finish([probe])

        gate.open.set()
        assert AN_ACCOUNT == await market.mbiz.log_in(call(), EMAIL, PASSWORD)
        await finish(old)
        assert ("closed", 0) == (state(market, "login"), market.mbiz.breakers["login"].in_flight)


# Over real sockets


async def test_ask_while_two_hundred_log_ins_hang() -> None:
    """With every log-in taken, look-ups and registrations are as quick as ever, and a log-in too many is told so."""

    async def by_path(writer: asyncio.StreamWriter) -> None:
        await (hangs if server.paths[-1] == "/v1/login" else answers(COMPANY))(writer)

    async with serving(by_path) as server:
        mbiz = Mbizmarket(server.base_url, "bela", ["secret"])
        await mbiz.get_company(call(), "C-1")
        hanging = [
            asyncio.create_task(mbiz.log_in(call(30), EMAIL, PASSWORD)) for _ in range(LIMITS["login"])
        ]
        await until(lambda: server.paths.count("/v1/login") == LIMITS["login"])

        for _ in range(20):
            with at_once():
                assert A_COMPANY == await mbiz.get_company(call(), "C-1")
        with at_once(), pytest.raises(OutcomeUnknown):  # a company is no registration, but it was answered
            await mbiz.register(call(), REFERENCE, FORM)
        with pytest.raises(NotSent):
            await mbiz.log_in(call(0.5), EMAIL, PASSWORD)
        assert LIMITS["login"] == mbiz.breakers["login"].in_flight == server.paths.count("/v1/login")

        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        assert 0 == mbiz.breakers["login"].in_flight
        await mbiz.aclose()


async def test_ask_until_mbizmarket_is_back() -> None:
    """A dead mbizmarket costs nothing once noticed, and one probe finds out that it is back."""
    away = True

    async def as_it_is(writer: asyncio.StreamWriter) -> None:
        await answers({"account": ACCOUNT}, 503 if away else 200)(writer)

    async with serving(as_it_is) as server:
        breakers = {**make_breakers(), "login": Breaker(10, pause=SOON)}
        mbiz = Mbizmarket(server.base_url, "bela", ["secret"], breakers=breakers)
        for _ in range(THRESHOLD):
            with pytest.raises(Unavailable):
                await mbiz.log_in(call(), EMAIL, PASSWORD)
        sent = len(server.paths)
        with at_once():
            outcomes = await asyncio.gather(
                *(mbiz.log_in(call(), EMAIL, PASSWORD) for _ in range(100)), return_exceptions=True
            )
        assert ({"NotSent": 100}, sent) == (tally(outcomes), len(server.paths))

        away = False
        await asyncio.sleep(SOON)
        assert AN_ACCOUNT == await mbiz.log_in(call(), EMAIL, PASSWORD)
        assert ("closed", sent + 1) == (mbiz.breakers["login"].state, len(server.paths))
        await mbiz.aclose()


def test_limits() -> None:
    """Every kind has a limit, and together they leave files for everything else (many systems allow 1,024)."""
    assert {"lookup", "login", "register", "session"} == set(LIMITS)
    assert LIMITS["register"] < LIMITS["lookup"]
    assert sum(LIMITS.values()) < 600
    assert {kind: ("closed", limit) for kind, limit in LIMITS.items()} == {
        kind: (breaker.state, breaker.limit) for kind, breaker in make_breakers().items()
    }
