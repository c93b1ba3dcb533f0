"""The sandbox fails on request: by magic e-mail, by script, over a real socket, and when it is killed itself."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.mbiz.sandbox import SAMPLE_ACCOUNTS, ConnectionCut, ConnectionRefused

from tests.mbiz.sandbox_market import (
    FORM,
    PASSWORD,
    Market,
    make_sandbox,
    open_market,
    open_market_at,
    served,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def market(tmp_path: Path) -> AsyncIterator[Market]:
    async with open_market(make_sandbox(tmp_path, slow_seconds=0.2)) as market:
        yield market


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    sandbox = make_sandbox(tmp_path, slow_seconds=0.2)
    with served(sandbox) as address:
        yield address
    sandbox.close()


async def made(market: Market) -> list[str]:
    return [registration["email"] for registration in (await market.truth())["registrations"]]


# Weather by e-mail


@pytest.mark.parametrize("email", ["down@mbiz.example", "DOWN+7@any.example"])
async def test_call_as_down(market: Market, email: str) -> None:
    """Nothing is done, whatever is asked; the answer says when to come again."""
    for answer in (
        await market.search(email),
        await market.log_in(email),
        await market.register(email=email),
    ):
        assert (503, "5") == (answer.status_code, answer.headers["Retry-After"])
    assert [] == await made(market)


async def test_call_as_slow(market: Market) -> None:
    """The answer is right, and late."""
    for answer, expected in (
        (market.search("slow@mbiz.example"), 200),
        (market.log_in("slow@mbiz.example"), 200),
        (market.register(email="slow+1@mbiz.example"), 201),
    ):
        begun = time.monotonic()
        assert expected == (await answer).status_code
        assert time.monotonic() - begun >= 0.2


async def test_register_as_lost(market: Market) -> None:
    """The account is made and nobody is told; look-up, repeat and log-in find it afterwards."""
    email = "lost+1@satker.example"
    with pytest.raises(ConnectionCut):
        await market.register(email=email)

    assert [email] == await made(market)
    found = (await market.find()).json()
    assert found == (await market.register(email=email)).json()
    assert found["account"] == (await market.log_in(email, FORM["password"])).json()["account"]
    assert [found["account"]] == (await market.search(email)).json()["accounts"]


async def test_register_as_garbled(market: Market) -> None:
    """The account is made, and a page comes in place of the answer; the look-up finds it."""
    market.expects_faults = True
    page = await market.register(email="garbled+1@satker.example")

    assert (200, "text/html; charset=utf-8") == (page.status_code, page.headers["Content-Type"])
    assert "garbled+1@satker.example" == (await market.find()).json()["account"]["email"]


async def test_call_as_garbled(market: Market) -> None:
    """Searching and logging in show the page, too."""
    market.expects_faults = True
    for answer in (await market.search("garbled@mbiz.example"), await market.log_in("garbled@mbiz.example")):
        assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.headers["Content-Type"])


# Faults by script


@pytest.mark.parametrize(
    ("fault", "status"),
    [("503_before", 503), ("rate_limited", 429), ("redirect_308", 308), ("expired_token", 401)],
)
async def test_fault_before(market: Market, fault: str, status: int) -> None:
    """Nothing was done, and the next call works."""
    await market.fault("register", fault)
    refused = await market.register()
    assert status == refused.status_code
    assert (status in (429, 503)) == ("Retry-After" in refused.headers)
    assert [] == await made(market)
    assert 201 == (await market.register()).status_code


@pytest.mark.parametrize(
    ("fault", "status"),
    [("500_after", 500), ("html_200", 200), ("garbage", 201), ("missing_id", 201), ("other_email", 201),
     ("other_reference", 201), ("two_companies", 201)],
)  # fmt: skip
async def test_fault_after(market: Market, fault: str, status: int) -> None:
    """The account was made, and the answer does not say so properly; the look-up does."""
    await market.fault("register", fault)
    spoiled = await market.register()
    found = await market.find()

    assert status == spoiled.status_code
    assert [FORM["email"]] == await made(market)
    assert (200, "ref-1") == (found.status_code, found.json()["reference"])
    assert spoiled.content != found.content


async def test_fault_garbage(market: Market) -> None:
    """Called JSON, and no JSON."""
    await market.fault("company", "garbage")
    answer = await market.company()
    assert "application/json" == answer.headers["Content-Type"]
    with pytest.raises(ValueError, match="utf-8"):
        answer.json()


async def test_fault_alters(market: Market) -> None:
    """An altered answer is whole but for the one thing that is wrong."""
    right = (await market.register()).json()
    altered = {}
    for fault in ("missing_id", "other_email", "other_reference", "two_companies"):
        await market.fault("find_registration", fault)
        altered[fault] = (await market.find()).json()

    assert "account_id" not in altered["missing_id"]["account"]
    assert "company_id" not in altered["missing_id"]["company"]
    assert right | {"reference": "another-reference"} == altered["other_reference"]
    elsewhere = right["account"] | {"email": "orang.lain@mbiz.example"}
    assert right | {"account": elsewhere} == altered["other_email"]
    assert right["company"] == altered["two_companies"]["account"]["companies"][0]
    assert 2 == len({c["company_id"] for c in altered["two_companies"]["account"]["companies"]})
    assert right == (await market.find()).json()


async def test_fault_missing_id_of_session_and_token(market: Market) -> None:
    """Calls without an account lose what they are for."""
    await market.fault("any", "missing_id", times=2)
    assert ["expires_at"] == list((await market.open_session()).json())
    assert {"name", "status", "address"} == set((await market.company()).json())


async def test_fault_cut_in_process(market: Market) -> None:
    """Without a socket the app raises what httpx would have raised: refused means not sent, cut means unknown."""
    await market.fault("register", "refuse")
    with pytest.raises(ConnectionRefused) as refused:
        await market.register()
    assert isinstance(refused.value, httpx.ConnectError)
    assert [] == await made(market)

    await market.fault("register", "drop_after")
    with pytest.raises(ConnectionCut) as cut:
        await market.register()
    assert isinstance(cut.value, httpx.RemoteProtocolError)
    assert [FORM["email"]] == await made(market)


@pytest.mark.parametrize(("fault", "expected"), [("sleep_before", []), ("sleep_after", [FORM["email"]])])
async def test_fault_sleep(market: Market, fault: str, expected: list[str]) -> None:
    """A caller that gives up: the work was not done yet, or was done."""
    await market.fault("register", fault, seconds=5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await market.register()
    assert expected == await made(market)


async def test_fault_lag(market: Market) -> None:
    """What was written cannot be looked up for a while, even when its answer was spoiled as well."""
    await market.fault("register", "lag", seconds=0.3)
    await market.fault("register", "500_after")
    assert 500 == (await market.register()).status_code
    assert 404 == (await market.find()).status_code
    assert 201 == (await market.register()).status_code
    await asyncio.sleep(0.31)
    assert 200 == (await market.find()).status_code


async def test_fault_lag_of_look_ups(market: Market) -> None:
    """A lagging look-up hides what is young, as often as it is told to."""
    await market.register()
    await market.fault("find_registration", "lag", times=2)
    assert [404, 404, 200] == [(await market.find()).status_code for _ in range(3)]


async def test_faults_in_order(market: Market) -> None:
    """One fault for one request, oldest first, of its own kind of call, as many times as asked."""
    await market.fault("company", "503_before", times=2)
    await market.fault("any", "rate_limited")
    assert 429 == (await market.search("a@b.example")).status_code
    assert [503, 503, 200] == [(await market.company()).status_code for _ in range(3)]


async def test_fault_spared_by_bad_token(market: Market) -> None:
    """A request that is refused for its token uses no fault up."""
    await market.fault("company", "503_before")
    await market.control("POST", "/tokens/expire")
    assert 401 == (await market.company()).status_code
    await market.authorize()
    assert 503 == (await market.company()).status_code


async def test_fault_of_the_token_call(market: Market) -> None:
    """The token call fails like any other."""
    await market.fault("token", "503_before")
    with pytest.raises(KeyError):
        await market.authorize()
    await market.authorize()


async def test_clear_faults(market: Market) -> None:
    """What waited is forgotten."""
    await market.fault("any", "503_before", times=9)
    assert 9 == (await market.truth())["faults_waiting"][0]["times"]
    await market.control("DELETE", "/faults")
    assert [] == (await market.truth())["faults_waiting"]
    assert 200 == (await market.company()).status_code


@pytest.mark.parametrize(
    "fault",
    [
        {"call": "company", "fault": "lag"},
        {"call": "token", "fault": "expired_token"},
        {"call": "session", "fault": "other_email"},
        {"call": "any", "fault": "earthquake"},
        {"call": "any", "fault": "drip", "second": 1},
    ],
)
async def test_fault_impossible(market: Market, fault: dict[str, Any]) -> None:
    """A script that could never come true is refused, so that no test waits for it in vain."""
    assert 422 == (await market.http.post("/sandbox/faults", json=fault)).status_code


# Behind the scenes


async def test_control_companies(market: Market) -> None:
    """Closed, renamed and gone companies are so at once, everywhere; a registration still names what it made."""
    registration = (await market.register()).json()
    path = f"/companies/{registration['company']['company_id']}"
    await market.control("POST", path, {"status": "inactive", "name": "Baru"})
    found = (await market.find()).json()["company"]
    assert ("inactive", "Baru") == (found["status"], found["name"])

    await market.control("DELETE", path)
    assert 404 == (await market.company(found["company_id"])).status_code
    assert [] == (await market.search(FORM["email"])).json()["accounts"][0]["companies"]
    assert found == (await market.find()).json()["company"]


async def test_control_accounts(market: Market) -> None:
    """Accounts are made, renamed, moved to another e-mail, and leave and join companies."""
    new = {"email": "Baru@mbiz.example", "password": "pw", "name": "Baru", "email_verified": False}
    account = (
        await market.control("POST", "/accounts", new | {"companies": [{"name": "X", "city": "Y"}]})
    ).json()
    path, company = f"/accounts/{account['account_id']}", account["companies"][0]["company_id"]
    assert account == (await market.log_in("baru@mbiz.example", "pw")).json()["account"]
    assert not account["email_verified"]

    await market.control("POST", path, {"email": "lama@mbiz.example", "email_verified": True})
    await market.control("DELETE", f"{path}/companies/{company}")
    await market.control("PUT", f"{path}/companies/C-2001")
    changed = (await market.log_in("lama@mbiz.example", "pw")).json()["account"]
    assert ["C-2001"] == [one["company_id"] for one in changed["companies"]]
    assert changed["email_verified"]
    taken = await market.http.post(f"/sandbox{path}", json={"email": "budi@mbiz.example"})
    assert 409 == taken.status_code


async def test_truth(market: Market) -> None:
    """The truth names all accounts, registrations and requests, and no password."""
    await market.register()
    truth = await market.truth()
    assert len(SAMPLE_ACCOUNTS) + 1 == len(truth["accounts"])
    assert (1, 1, 0) == tuple(truth["requests"][call] for call in ("token", "register", "login"))
    (registration,) = truth["registrations"]
    assert ("ref-1", FORM["email"], 1) == tuple(
        registration[key] for key in ("reference", "email", "deliveries")
    )
    assert "assword" not in json.dumps(truth)


async def test_control_from_elsewhere(tmp_path: Path) -> None:
    """The control has no password, so it answers this machine alone."""
    transport = httpx.ASGITransport(make_sandbox(tmp_path), client=("10.1.2.3", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://mbiz.test") as stranger:
        for method, path in (("GET", "/truth"), ("POST", "/faults"), ("POST", "/tokens/expire")):
            assert 404 == (await stranger.request(method, f"/sandbox{path}")).status_code


# Over a socket, and killed


@pytest.mark.parametrize(
    "flavour", [{"loop": "uvloop", "http": "httptools"}, {"loop": "asyncio", "http": "h11"}]
)
@pytest.mark.parametrize(("fault", "expected"), [("refuse", []), ("drop_after", [FORM["email"]])])
async def test_fault_cut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, flavour: dict[str, str], fault: str, expected: list[str]
) -> None:
    """The socket is closed without a byte of an answer, without noise, and the server lives on."""
    with served(make_sandbox(tmp_path), **flavour) as address:
        async with open_market_at(address) as market:
            await market.fault("register", fault)
            with (
                caplog.at_level(logging.WARNING),
                pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)),
            ):
                await market.register()
            assert expected == await made(market)
            assert 201 == (await market.register()).status_code
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_fault_drip(address: str) -> None:
    """The right answer, a byte at a time."""
    async with open_market_at(address) as market:
        right = await market.company()
        await market.fault("company", "drip", seconds=0.002)
        async with market.http.stream("GET", "/v1/companies/C-2001") as dripping:
            chunks = [chunk async for chunk in dripping.aiter_raw()]
    assert right.content == b"".join(chunks)
    assert len(chunks) > len(right.content) / 2


async def test_give_up_on_a_drip(address: str, caplog: pytest.LogCaptureFixture) -> None:
    """The server forgives a caller that hangs up, and stops dripping."""
    async with open_market_at(address) as market:
        await market.fault("register", "drip", seconds=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await market.register()
        assert [FORM["email"]] == await made(market)
    assert [] == [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_give_up_on_sleep_before(address: str) -> None:
    """Over a socket the work is done all the same, after the caller has gone: mbizmarket does not know."""
    async with open_market_at(address) as market:
        await market.fault("register", "sleep_before", seconds=0.5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await market.register()
        assert [] == await made(market)
        await asyncio.sleep(0.6)
        assert [FORM["email"]] == await made(market)


async def test_register_sixteen_at_once_over_sockets(address: str) -> None:
    """Sixteen connections, one reference, one account."""
    async with open_market_at(address) as market:
        answers = await asyncio.gather(*(market.register() for _ in range(16)))
        assert 1 == len({answer.content for answer in answers})
        assert [FORM["email"]] == await made(market)


async def test_restart(tmp_path: Path) -> None:
    """The same file knows the same accounts, references, links and locks; tokens are new."""
    sandbox = make_sandbox(tmp_path)
    async with open_market(sandbox) as market:
        registration = (await market.register()).json()
        link = (await market.open_session()).json()["redirect_url"]
        for _ in range(10):
            await market.log_in("budi@mbiz.example", "wrong")
        truth, token = await market.truth(), market.http.headers["Authorization"]
    sandbox.close()

    async with open_market(make_sandbox(tmp_path)) as market:
        again = await market.truth()
        assert (truth["accounts"], truth["registrations"]) == (again["accounts"], again["registrations"])
        assert registration == (await market.register()).json()
        assert 200 == (await market.http.get(link)).status_code
        assert 423 == (await market.log_in("budi@mbiz.example")).status_code
        market.http.headers["Authorization"] = token
        assert 401 == (await market.company()).status_code


SERVER = """
import sys, uvicorn
from app.mbiz.sandbox import create_sandbox
app = create_sandbox(sys.argv[1], client_id="bela", client_secret="secret-new")
uvicorn.run(app, fd=int(sys.argv[2]), log_level="error", lifespan="off", ws="none")
"""


@dataclass
class Process:
    url: str
    server: "subprocess.Popen[bytes]"


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A sandbox in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd, port = listener.fileno(), listener.getsockname()[1]
        command = [sys.executable, "-c", SERVER, str(tmp_path / "mbizmarket.db"), str(fd)]
        with subprocess.Popen(command, pass_fds=[fd]) as server:
            try:
                yield Process(f"http://127.0.0.1:{port}", server)
            finally:
                server.kill()


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


async def test_kill(tmp_path: Path, process: Process) -> None:
    """What a killed sandbox has acknowledged is still there, and no password is in its files."""
    async with open_market_at(process.url) as market:
        answers = [await market.register(f"ref-{n}", email=f"pp{n}@satker.example") for n in range(5)]
        process.server.kill()
    on_disk = everything_in(tmp_path)
    assert b"pp4@satker.example" in on_disk
    assert [] == [password for password in (FORM["password"], PASSWORD) if password.encode() in on_disk]

    async with open_market(make_sandbox(tmp_path)) as market:
        for number, answer in enumerate(answers):
            assert (201, answer.json()) == (answer.status_code, (await market.find(f"ref-{number}")).json())
