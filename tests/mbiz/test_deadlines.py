"""The adapter's own transport against a server that hangs, drips, cuts, or cannot be reached."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from app.mbiz.client import Call, Mbizmarket
from app.mbiz.errors import BadAnswer, MbizError, NotSent, OutcomeUnknown, TimedOut, Unavailable

from tests.mbiz.market import (
    A_COMPANY,
    COMPANY,
    EMAIL,
    FORM,
    PASSWORD,
    REFERENCE,
    REGISTRATION,
    call,
    registration,
)
from tests.mbiz.servers import (
    Reply,
    after,
    answers,
    drips,
    floods,
    grants,
    hangs,
    hangs_up,
    in_turn,
    is_cut,
    self_signed,
    serving,
    speaks_no_http,
)

pytestmark = pytest.mark.anyio

BUDGET = 0.3
SLACK = 0.5  # how late an answer of ours may be


@asynccontextmanager
async def adapter(base_url: str) -> AsyncIterator[Mbizmarket]:
    mbiz = Mbizmarket(base_url, "bela", ["secret"])
    yield mbiz
    await mbiz.aclose()


@contextmanager
def in_time(budget: float = BUDGET) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < budget + SLACK


@pytest.mark.parametrize("reply", [hangs, drips, is_cut, hangs_up, speaks_no_http, floods])
async def test_register_and_wait(reply: Reply) -> None:
    """Whatever happens after the request has left: unknown, once, within the deadline."""
    async with serving(reply) as server, adapter(server.base_url) as mbiz:
        with in_time(), pytest.raises(OutcomeUnknown):
            await mbiz.register(call(BUDGET), REFERENCE, FORM)
        assert ["/oauth/token", "/v1/registrations"] == server.paths


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (hangs, TimedOut),
        (drips, TimedOut),
        (is_cut, Unavailable),
        (hangs_up, Unavailable),
        (speaks_no_http, Unavailable),
        (floods, BadAnswer),
    ],
)
async def test_log_in_and_wait(reply: Reply, problem: type[MbizError]) -> None:
    """A log-in ends with the deadline too, and is not sent twice."""
    async with serving(reply) as server, adapter(server.base_url) as mbiz:
        with in_time(), pytest.raises(MbizError) as failed:
            await mbiz.log_in(call(BUDGET), EMAIL, PASSWORD)
        assert problem is type(failed.value)
        assert ["/oauth/token", "/v1/login"] == server.paths


@pytest.mark.parametrize("token", [hangs, drips])
async def test_register_and_wait_for_the_token(token: Reply) -> None:
    """A token call that spends the budget sends no registration."""
    async with serving(hangs, token) as server, adapter(server.base_url) as mbiz:
        with in_time(), pytest.raises(NotSent):
            await mbiz.register(call(BUDGET), REFERENCE, FORM)
        assert ["/oauth/token"] == server.paths


@pytest.mark.parametrize("token", [hangs, drips])
async def test_log_in_and_wait_for_the_token(token: Reply) -> None:
    """The person is told that it took too long."""
    async with serving(hangs, token) as server, adapter(server.base_url) as mbiz:
        with in_time(), pytest.raises(TimedOut):
            await mbiz.log_in(call(BUDGET), EMAIL, PASSWORD)
        assert ["/oauth/token"] == server.paths


async def test_call_twice_within_one_deadline() -> None:
    """All calls of one request share its budget: what the first took, the second lacks."""
    reply = in_turn(after(0.4, answers(COMPANY)), hangs)
    async with serving(reply, after(0.2, grants)) as server, adapter(server.base_url) as mbiz:
        within = call(0.8)
        with in_time(0.8):
            assert A_COMPANY == await mbiz.get_company(within, "C-1")
            with pytest.raises(TimedOut):
                await mbiz.get_company(within, "C-1")
        assert ["/oauth/token", "/v1/companies/C-1", "/v1/companies/C-1"] == server.paths


async def test_call_too_late() -> None:
    """With the deadline behind us nothing is sent, not even for a token."""
    async with serving(hangs) as server, adapter(server.base_url) as mbiz:
        with pytest.raises(NotSent):
            await mbiz.register(call(0), REFERENCE, FORM)
        with pytest.raises(TimedOut):
            await mbiz.log_in(call(-1), EMAIL, PASSWORD)
        assert ([], []) == (server.paths, server.connections)


# Without a connection


async def test_register_with_nobody_listening() -> None:
    """A refused connection is known to have sent nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base_url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with adapter(base_url) as mbiz:
        with in_time(), pytest.raises(NotSent):
            await mbiz.register(call(BUDGET), REFERENCE, FORM)
        with in_time(), pytest.raises(NotSent):
            await mbiz.log_in(call(BUDGET), EMAIL, PASSWORD)


async def test_register_with_a_deaf_host() -> None:
    """A host that takes the connection and never speaks TLS: given up while the rest of the budget remains."""
    async with serving(hangs) as server, adapter(f"https{server.base_url[4:]}") as mbiz:
        within = call(BUDGET)
        with pytest.raises(NotSent):
            await mbiz.register(within, REFERENCE, FORM)
        assert within.remaining() > 0
        assert ([], 1) == (server.paths, len(server.connections))


async def test_register_with_an_impostor(tmp_path: Path) -> None:
    """A certificate that nobody vouches for: neither the secret nor the password leaves us."""
    async with serving(hangs, tls=self_signed(tmp_path)) as server, adapter(server.base_url) as mbiz:
        with pytest.raises(NotSent):
            await mbiz.register(call(), REFERENCE, FORM)
        assert [] == server.paths


async def test_register_on_a_connection_that_was_closed() -> None:
    """A connection that mbizmarket closed while it lay idle is not used: the registration gets a new one."""

    async def closes(writer: asyncio.StreamWriter) -> None:
        await answers(COMPANY)(writer)
        writer.close()

    reply = in_turn(closes, answers(REGISTRATION, 201))
    async with serving(reply) as server, adapter(server.base_url) as mbiz:
        await mbiz.get_company(call(), "C-1")
        await asyncio.sleep(0.05)

        assert registration() == await mbiz.register(call(), REFERENCE, FORM)
        assert ["/oauth/token", "/v1/companies/C-1", "/v1/registrations"] == server.paths


async def test_call_past_a_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only settings say where passwords go."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(answers(COMPANY)) as server, adapter(server.base_url) as mbiz:
        assert A_COMPANY == await mbiz.get_company(call(), "C-1")
        assert ["/oauth/token", "/v1/companies/C-1"] == server.paths


# Leaving


async def test_cancel_a_call() -> None:
    """A cancelled call is cancelled, gives its connection back, and the next one works."""
    arrived = asyncio.Event()

    async def hangs_for_sure(writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await hangs(writer)

    reply = in_turn(hangs_for_sure, answers(COMPANY))
    async with serving(reply) as server, adapter(server.base_url) as mbiz:
        leaving = asyncio.create_task(mbiz.register(call(), REFERENCE, FORM))
        await arrived.wait()

        leaving.cancel()

        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert A_COMPANY == await mbiz.get_company(call(), "C-1")
        assert ["/oauth/token", "/v1/registrations", "/v1/companies/C-1"] == server.paths


def test_call_at_most() -> None:
    """A part of the budget may be set aside, never added."""
    within = Call.within(10, "req-1", "00-trace")

    assert 2.9 < within.at_most(3).remaining() <= 3
    assert within == within.at_most(30)
    assert ("req-1", "00-trace") == (within.at_most(3).request_id, within.at_most(3).traceparent)
