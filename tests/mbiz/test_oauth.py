"""Our own token: fetched once for all, renewed once when refused, never taken for a person's password."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest
from app.mbiz.errors import NotSent, OutcomeUnknown, TimedOut, Unavailable
from app.mbiz.oauth import usable_for

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
    Market,
    call,
    error,
    granted,
    page,
    registration,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def market() -> AsyncIterator[Market]:
    market = Market()
    market.company.respond(json=COMPANY)
    yield market
    await market.mbiz.aclose()


Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]


def slowly(answer: httpx.Response, seconds: float = 0.05) -> Answer:
    async def respond(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(seconds)
        return answer

    return respond


def refused_until_renewed(market: Market, answer: httpx.Response | None = None) -> Answer:
    """Every token of before this moment is refused, after a while in which all callers have sent theirs."""
    tokens = market.token.call_count
    return refused_while(lambda: market.token.call_count == tokens, answer)


def refused_while(expired: Callable[[], bool], answer: httpx.Response | None = None) -> Answer:
    async def respond(_request: httpx.Request) -> httpx.Response:
        refused = expired()
        await asyncio.sleep(0.02)
        return error(401, "invalid_token") if refused else answer or httpx.Response(200, json=COMPANY)

    return respond


def only_for(secret: str) -> Callable[[httpx.Request], httpx.Response]:
    """mbizmarket's token call while it takes this secret alone."""

    def respond(request: httpx.Request) -> httpx.Response:
        known = request.headers["Authorization"] == basic(secret)
        return granted("a") if known else httpx.Response(401, json={"error": "invalid_client"})

    return respond


def basic(secret: str) -> str:
    return f"Basic {b64encode(f'bela:{secret}'.encode()).decode()}"


def identities(market: Market) -> list[str]:
    """Who we said we are, in each token request."""
    return [made.request.headers["Authorization"] for made in market.token.calls]


async def test_call_twice(market: Market) -> None:
    """The token is fetched with our id and secret, and used until it ends."""
    await market.mbiz.get_company(call(), "C-1")
    await market.mbiz.get_company(call(), "C-1")

    assert (2, 1) == (market.company.call_count, market.token.call_count)
    asked = market.token.calls.last.request
    assert b"grant_type=client_credentials" == asked.content
    assert basic("secret") == asked.headers["Authorization"]
    assert "X-Request-Id" not in asked.headers


async def test_call_by_fifty_without_a_token(market: Market) -> None:
    """Fifty callers and no token: one fetches it, the others wait."""
    market.token.mock(side_effect=slowly(granted("a")))

    await asyncio.gather(*(market.mbiz.get_company(call(), "C-1") for _ in range(50)))

    assert (50, 1) == (market.company.call_count, market.token.call_count)


@pytest.mark.parametrize("fresh", ["b", "a"])
async def test_call_by_fifty_with_an_expired_token(market: Market, fresh: str) -> None:
    """Fifty callers meet an expired token: one renewal, even when mbizmarket grants the same text anew."""
    renewals = iter([granted("a"), granted(fresh)])
    market.token.mock(side_effect=lambda _: next(renewals))
    await market.mbiz.get_company(call(), "C-1")
    market.company.mock(side_effect=refused_until_renewed(market))

    await asyncio.gather(*(market.mbiz.get_company(call(), "C-1") for _ in range(50)))

    assert (1 + 50 + 50, 1 + 1) == (market.company.call_count, market.token.call_count)


async def test_log_in_and_register_and_look_up_with_an_expired_token(market: Market) -> None:
    """One renewal for calls of every kind; nobody hears that their password is wrong, nothing is in doubt."""
    await market.mbiz.get_company(call(), "C-1")
    answers = {
        "login": httpx.Response(200, json={"account": ACCOUNT}),
        "register": httpx.Response(201, json=REGISTRATION),
        "company": httpx.Response(200, json=COMPANY),
    }
    for name, answer in answers.items():
        getattr(market, name).mock(side_effect=refused_until_renewed(market, answer))

    outcomes = await asyncio.gather(
        *(market.mbiz.log_in(call(), EMAIL, PASSWORD) for _ in range(20)),
        *(market.mbiz.register(call(), REFERENCE, FORM) for _ in range(20)),
        *(market.mbiz.get_company(call(), "C-1") for _ in range(20)),
    )

    assert [AN_ACCOUNT] * 20 + [registration()] * 20 + [A_COMPANY] * 20 == outcomes
    assert (40, 40, 1 + 1) == (market.login.call_count, market.register.call_count, market.token.call_count)


async def test_call_after_the_token_ended(market: Market) -> None:
    """A token past its time is not sent any more."""
    market.token.mock(side_effect=[granted("a", expires_in=0), granted("b")])

    await market.mbiz.get_company(call(), "C-1")
    await market.mbiz.get_company(call(), "C-1")
    await asyncio.sleep(1.05)
    await market.mbiz.get_company(call(), "C-1")

    signed = [made.request.headers["Authorization"] for made in market.company.calls]
    assert ["Bearer a", "Bearer a", "Bearer b"] == signed
    assert 2 == market.token.call_count


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (3600, 3570),
        ("3600", 3570),
        (60.0, 54),
        (1, 1),
        (0, 1),
        (-5, 1),
        (None, 54),
        ("soon", 54),
        ([], 54),
        (float("nan"), 1),
        (float("inf"), 86370),
        (10**400, 54),
        (10**12, 86370),
    ],
)
def test_usable_for(expires_in: object, seconds: float) -> None:
    """Whatever mbizmarket says of a lifetime, a token is used for a sane while."""
    assert seconds == usable_for(expires_in)


# Our token refused


async def test_register_with_an_expired_token(market: Market) -> None:
    """Renewed once, and the very same request once more."""
    market.register.mock(side_effect=[error(401, "invalid_token"), httpx.Response(201, json=REGISTRATION)])

    assert registration() == await market.mbiz.register(call(), REFERENCE, FORM)

    first, second = market.arrivals("/v1/registrations")
    assert first.content == second.content
    assert [REFERENCE] * 2 == [made.headers["Idempotency-Key"] for made in (first, second)]
    assert ["Bearer token-1", "Bearer token-2"] == [made.headers["Authorization"] for made in (first, second)]
    assert (2, 2) == (market.register.call_count, market.token.call_count)


async def test_register_with_every_token_refused(market: Market) -> None:
    """After one repeat nothing is sent any more, and nothing is called failed."""
    market.register.mock(return_value=error(401, "invalid_token"))

    with pytest.raises(OutcomeUnknown):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert (2, 2) == (market.register.call_count, market.token.call_count)


async def test_register_with_an_expired_token_and_no_other(market: Market) -> None:
    """A refused token proves that nothing was registered; without another one nothing is sent."""
    market.register.mock(return_value=error(401, "invalid_token"))
    market.token.mock(side_effect=[granted("a"), httpx.Response(500)])

    with pytest.raises(NotSent):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert (1, 2) == (market.register.call_count, market.token.call_count)


async def test_register_with_an_expired_token_and_no_time_for_another(market: Market) -> None:
    """The same when the renewal spends what is left of the budget."""
    market.register.mock(return_value=error(401, "invalid_token"))
    market.company.mock(return_value=error(401, "invalid_token"))
    renewals = iter([0.0, 5.0, 0.0, 5.0])
    market.token.mock(side_effect=lambda request: slowly(granted("a"), next(renewals))(request))

    with pytest.raises(NotSent):
        await market.mbiz.register(call(0.1), REFERENCE, FORM)
    with pytest.raises(TimedOut):
        await market.mbiz.get_company(call(0.1), "C-1")
    assert (1, 1) == (market.register.call_count, market.company.call_count)
    assert 4 == len(market.arrivals("/oauth/token"))


async def test_register_with_an_expired_token_and_then_cut(market: Market) -> None:
    """The repeat counts as sent like any first request."""
    market.register.mock(side_effect=[error(401, "invalid_token"), httpx.ReadError("cut")])

    with pytest.raises(OutcomeUnknown):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert (2, 2) == (market.register.call_count, market.token.call_count)


@pytest.mark.parametrize("ask", ASKS)
async def test_ask_with_an_expired_token(market: Market, ask: str) -> None:
    """Every call gets its answer after one renewal."""
    route = getattr(market, ask).mock(side_effect=[error(401, "invalid_token"), GOOD[ask]])

    assert await ASKS[ask](market.mbiz, call()) is not None
    assert (2, 2) == (route.call_count, market.token.call_count)


@pytest.mark.parametrize("ask", ASKS)
async def test_ask_with_every_token_refused(market: Market, ask: str) -> None:
    """The trouble is between mbizmarket and us; a log-in does not blame the person."""
    route = getattr(market, ask).mock(return_value=error(401, "invalid_token"))

    with pytest.raises(Unavailable):
        await ASKS[ask](market.mbiz, call())
    assert (2, 2) == (route.call_count, market.token.call_count)


# No token


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(httpx.Response(500), id="500"),
        pytest.param(httpx.Response(429), id="429"),
        pytest.param(httpx.Response(302, headers={"Location": "https://evil.example"}), id="302"),
        pytest.param(httpx.Response(400, json={"error": "invalid_grant"}), id="400"),
        pytest.param(page(), id="a page"),
        pytest.param(page(401), id="a page of 401"),
        pytest.param(httpx.Response(200, json={"token_type": "Bearer"}), id="no token"),
        pytest.param(granted(""), id="empty"),
        pytest.param(granted("a\r\nHost: evil"), id="a header more"),
        pytest.param(granted("a", token_type="mac"), id="another kind"),
        pytest.param(granted("a" * 300_000), id="endless"),
        pytest.param(httpx.ConnectError("no"), id="refused"),
        pytest.param(httpx.ConnectTimeout("no"), id="dead host"),
        pytest.param(httpx.PoolTimeout("no"), id="full pool"),
        pytest.param(httpx.ReadError("no"), id="cut"),
        pytest.param(httpx.RemoteProtocolError("no"), id="not HTTP"),
        pytest.param(ConnectionResetError(), id="reset"),
    ],
)
async def test_call_without_a_token(market: Market, answer: httpx.Response | Exception) -> None:
    """However the token failed to come, nothing was sent, and the token is asked for once."""
    market.token.mock(side_effect=[answer, answer])

    with pytest.raises(NotSent):
        await market.mbiz.register(call(), REFERENCE, FORM)
    assert (0, 1) == (market.register.call_count, market.token.call_count)
    with pytest.raises(NotSent):
        await market.mbiz.log_in(call(), EMAIL, PASSWORD)
    assert (0, 2) == (market.login.call_count, market.token.call_count)


async def test_call_without_a_token_for_now(market: Market) -> None:
    """mbizmarket's wish when to come back is passed on."""
    market.token.respond(503, headers={"Retry-After": "7"})

    with pytest.raises(NotSent) as failed:
        await market.mbiz.get_company(call(), "C-1")
    assert (7, 0, 1) == (failed.value.retry_after, market.company.call_count, market.token.call_count)


async def test_call_by_fifty_without_any_token(market: Market) -> None:
    """A renewal that failed has failed for all who waited for it, and the next call tries anew."""
    market.token.mock(side_effect=slowly(httpx.Response(503, headers={"Retry-After": "7"})))

    outcomes = await asyncio.gather(
        *(market.mbiz.get_company(call(), "C-1") for _ in range(50)), return_exceptions=True
    )

    assert [7] * 50 == [failed.retry_after for failed in outcomes if isinstance(failed, NotSent)]
    assert (0, 1) == (market.company.call_count, market.token.call_count)
    market.token.mock(return_value=granted("a"))
    assert await market.mbiz.get_company(call(), "C-1") is not None


@pytest.mark.parametrize("hang", [httpx.ReadTimeout("slow"), 5.0])
async def test_call_while_the_token_takes_too_long(market: Market, hang: Exception | float) -> None:
    """A token call that spends the budget: of a registration nothing was sent; others ran out of time."""
    market.token.mock(side_effect=hang if isinstance(hang, Exception) else slowly(granted("a"), hang))

    with pytest.raises(NotSent):
        await market.mbiz.register(call(0.05), REFERENCE, FORM)
    with pytest.raises(TimedOut):
        await market.mbiz.log_in(call(0.05), EMAIL, PASSWORD)
    assert ["/partner/oauth/token"] * 2 == [request.url.path for request in market.arrived]


# Several callers, one renewal


async def test_cancel_the_renewing_caller(market: Market) -> None:
    """The next one in line fetches the token itself, and nobody hangs."""
    market.token.mock(side_effect=slowly(granted("a")))
    first = asyncio.create_task(market.mbiz.get_company(call(), "C-1"))
    others = [asyncio.create_task(market.mbiz.get_company(call(), "C-1")) for _ in range(5)]
    await asyncio.sleep(0.01)

    first.cancel()

    assert [A_COMPANY] * 5 == await asyncio.gather(*others)
    assert first.cancelled()
    assert (5, 2) == (market.company.call_count, len(market.arrivals("/oauth/token")))


async def test_cancel_a_waiting_caller(market: Market) -> None:
    """Those who wait may leave; the renewal goes on for the rest."""
    market.token.mock(side_effect=slowly(granted("a")))
    renewing = asyncio.create_task(market.mbiz.get_company(call(), "C-1"))
    waiting = asyncio.create_task(market.mbiz.get_company(call(), "C-1"))
    await asyncio.sleep(0.01)

    waiting.cancel()

    assert A_COMPANY == await renewing
    assert waiting.cancelled()
    assert (1, 1) == (market.company.call_count, market.token.call_count)


async def test_call_behind_an_impatient_caller(market: Market) -> None:
    """A renewal cut by its caller's short deadline is no failure for those with more time."""
    market.token.mock(side_effect=slowly(granted("a"), 0.1))
    impatient = asyncio.create_task(market.mbiz.log_in(call(0.03), EMAIL, PASSWORD))
    await asyncio.sleep(0.01)

    assert await market.mbiz.get_company(call(), "C-1") is not None
    with pytest.raises(TimedOut):
        await impatient
    assert (1, 2) == (market.company.call_count, len(market.arrivals("/oauth/token")))
    assert [] == market.arrivals("/v1/login")


# Rotating the secret


async def test_call_with_the_old_secret_retired() -> None:
    """The next secret is tried, and remembered: the renewal does not try the retired one again."""
    market = Market(("old", "new"))
    market.company.mock(
        side_effect=[
            httpx.Response(200, json=COMPANY),
            error(401, "invalid_token"),
            httpx.Response(200, json=COMPANY),
        ]
    )
    market.token.mock(side_effect=only_for("new"))

    await market.mbiz.get_company(call(), "C-1")
    await market.mbiz.get_company(call(), "C-1")

    assert [basic("old"), basic("new"), basic("new")] == identities(market)
    assert 3 == market.company.call_count
    await market.mbiz.aclose()


async def test_call_by_fifty_while_the_secret_is_rotated() -> None:
    """The old secret dies together with its token, under load: one renewal tries both, and everybody is served."""
    market = Market(("old", "new"))
    market.company.respond(json=COMPANY)
    market.token.mock(side_effect=only_for("old"))
    await market.mbiz.get_company(call(), "C-1")

    market.token.mock(side_effect=only_for("new"))
    market.company.mock(side_effect=refused_while(lambda: len(identities(market)) < 3))
    outcomes = await asyncio.gather(*(market.mbiz.get_company(call(), "C-1") for _ in range(50)))

    assert [A_COMPANY] * 50 == outcomes
    assert [basic("old"), basic("old"), basic("new")] == identities(market)
    await market.mbiz.aclose()


async def test_call_with_every_secret_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Each is tried once, nothing is sent, and operators are told without the secrets."""
    market = Market(("old", "new"))
    market.token.mock(side_effect=only_for("none of ours"))

    with pytest.raises(NotSent):
        await market.mbiz.log_in(call(), EMAIL, PASSWORD)

    assert [basic("old"), basic("new")] == identities(market)
    assert 0 == market.login.call_count
    assert ["mbizmarket refuses our client id with every secret we have"] == caplog.messages
    await market.mbiz.aclose()
