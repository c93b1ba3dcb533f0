"""What a caller can do with bytes alone, before anybody looks at a token: over real sockets."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from app.protocol import MAX_HEAD, BoundedProtocol
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from tests.conftest import copied
from tests.crash.processes import Process, environment, free_port
from tests.service import token

pytestmark = pytest.mark.anyio

CLOSED = b"<closed>"
POST = b"POST /v1/satkers HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"


def authorization() -> bytes:
    return f"Authorization: Bearer {token()}\r\n".encode()


@pytest.fixture(scope="module")
def served(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Process, tuple[str, int]]]:
    folder = tmp_path_factory.mktemp("wire")
    port = free_port()
    settings = environment(copied(sqlite_template, folder), free_port())
    arguments = ["serve", "--port", str(port), "--no-settle"]
    process = Process(folder, arguments, settings, f"http://127.0.0.1:{port}/readyz")
    try:
        process.start()
        yield process, ("127.0.0.1", port)
    finally:
        process.kill()


def talk(address: tuple[str, int], *parts: bytes, seconds: float = 20) -> bytes:
    """What comes back while these are sent one after the other, and whether the server hung up."""
    with socket.create_connection(address, timeout=seconds) as connection:
        for part in parts[:-1]:
            connection.sendall(part)
            connection.settimeout(0.3)
            with_answer = _read(connection)
            if with_answer.endswith(CLOSED):
                return with_answer
        connection.sendall(parts[-1])
        connection.settimeout(seconds)
        return _read(connection)


def _read(connection: socket.socket) -> bytes:
    heard = b""
    try:
        while piece := connection.recv(65536):
            heard += piece
    except TimeoutError:
        return heard
    except ConnectionResetError:
        pass
    return heard + CLOSED


def test_a_token_behind_the_body(served: tuple[Process, tuple[str, int]]) -> None:
    """A trailer is no header: what stood in front of the service has not seen it."""
    close = b"Connection: close\r\n"
    in_head = talk(served[1], POST + close + authorization() + CHUNKED + b"\r\n")
    behind = talk(served[1], POST + close + CHUNKED + authorization() + b"\r\n")
    assert [b"422", b"401"] == [answer.split()[1] for answer in (in_head, behind)]


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_a_request_in_the_body_of_another(served: tuple[Process, tuple[str, int]], protocol: bytes) -> None:
    """Asking for another protocol hides none: the answer is the last of its connection, and no log has a warning."""
    upgrade = b"Upgrade: " + protocol + b"\r\nConnection: Upgrade\r\nContent-Length: 80\r\n\r\n"
    hidden = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    for parts in ((POST + upgrade + hidden,), (POST + upgrade, hidden)):
        answer = talk(served[1], *parts)
        assert (b"401", 1) == (answer.split()[1], answer.count(b"HTTP/1.1 "))
        assert answer.endswith(CLOSED)
        assert b"connection: close" in answer
    assert "upgrade" not in served[0].log.read_text().lower()


SMUGGLED = {
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "other chunks": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks last but one": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a length with a sign": b"Content-Length: +2\r\n\r\n{}",
    "a length in hexadecimal": b"Content-Length: 0x2\r\n\r\n{}",
    "a length without end": b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}",
    "a folded line": b"X-A: a\r\n Content-Length: 2\r\n\r\n{}",
    "a blank before the colon": b"Content-Length : 2\r\n\r\n{}",
    "a line's end without return": b"X-A: a\nContent-Length: 2\r\n\r\n{}",
    "NUL in a header": b"X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("how", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_a_head_that_two_readers_read_differently(
    served: tuple[Process, tuple[str, int]], how: bytes
) -> None:
    """Refused as a whole, and the connection with it, also for who has a token."""
    answer = talk(served[1], POST + authorization() + how + b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (b"400", 1) == (answer.split()[1], answer.count(b"HTTP/1.1 "))
    assert answer.endswith(CLOSED)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """The values of X-Forwarded-For that an application behind the protocol sees."""
    seen = Request(scope).headers.getlist("x-forwarded-for")
    await JSONResponse(seen)(scope, receive, send)


class Hasty(BoundedProtocol):
    head_seconds = 0.5


@asynccontextmanager
async def listening(protocol: type[BoundedProtocol] = BoundedProtocol) -> AsyncIterator[tuple[str, int]]:
    """A server of `echo` with this protocol."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(echo, http=protocol, ws="none", lifespan="off", log_level=logging.CRITICAL)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        await serving


async def test_an_address_behind_the_body() -> None:
    """Only what is in the head is forwarded by somebody: a trailer would stand behind what our proxy wrote."""
    head = b"POST / HTTP/1.1\r\nConnection: close\r\nHost: a\r\nX-Forwarded-For: 198.51.100.7\r\n"
    async with listening() as address:
        answer = await asyncio.to_thread(talk, address, head + CHUNKED + b"X-Forwarded-For: 1.1.1.1\r\n\r\n")
    assert b'["198.51.100.7"]' in answer


async def test_a_head_without_end() -> None:
    """It is refused when it is too long, wherever in it, and nothing of it is kept."""
    async with listening() as address:
        for endless in (
            b"GET /",
            b"GET / HTTP/1.1\r\nX-",
            b"GET / HTTP/1.1\r\nX: ",
            b"GET / HTTP/1.1\r\nA: b\r\n",
        ):
            assert await asyncio.to_thread(_refused, address, endless), endless
        fine = b"GET / HTTP/1.1\r\nConnection: close\r\nX: " + b"a" * (MAX_HEAD // 2) + b"\r\n\r\n"
        assert b"200" == (await asyncio.to_thread(talk, address, fine)).split()[1]


def _refused(address: tuple[str, int], endless: bytes) -> bool:
    """Whether the server hangs up long before 20 MB are sent."""
    with socket.create_connection(address, timeout=20) as connection:
        try:
            connection.sendall(endless)
            for _ in range(1000):
                connection.sendall(b"a: b\r\n" * 3000 if endless.endswith(b"\n") else b"a" * 20_000)
        except (BrokenPipeError, ConnectionResetError):
            return True
    return False


@pytest.mark.parametrize(
    "slowly",
    [
        pytest.param([b""], id="nothing"),
        pytest.param([b"GET / HT"], id="half a line"),
        pytest.param([b"GET / HTTP/1.1\r\n", b"A: b\r\n", b"A: b\r\n", b"A: b\r\n"], id="line by line"),
        pytest.param([b"\r\n", b"\r\n", b"\r\n", b"\r\n"], id="blank lines"),
        pytest.param([b"GET / HTTP/1.1\r\n\r\n", b"\r\n"], id="a blank line after a request"),
        pytest.param([b"GET / HTTP/1.1\r\n\r\n", b"GET / HT"], id="half a line after a request"),
    ],
)
async def test_a_head_that_takes_its_time(slowly: list[bytes]) -> None:
    """Whoever holds a connection and asks for nothing loses it."""
    async with listening(Hasty) as address:
        began = asyncio.get_running_loop().time()
        answer = await asyncio.to_thread(talk, address, *slowly)
        took = asyncio.get_running_loop().time() - began
    assert answer.endswith(CLOSED)
    assert took < 15


async def test_an_answer_is_one_packet() -> None:
    """Head and body leave together, also when it is the last of its connection, and when several were asked at once."""
    async with listening() as address:
        first, rest = await asyncio.to_thread(_asked, address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (1, b"") == (first.count(b"HTTP/1.1 200"), rest)
        assert first.endswith(b"\r\n\r\n[]")
        last = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
        assert (first[-2:], CLOSED) == await asyncio.to_thread(_asked, address, last, keep=2)
        both = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + last
        first, rest = await asyncio.to_thread(_asked, address, both)
        assert 2 == (first + rest).count(b"\r\n\r\n[]")


def _asked(address: tuple[str, int], request: bytes, keep: int = 65536) -> tuple[bytes, bytes]:
    """The end of what comes first, and what comes afterwards within a moment."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(request)
        first = connection.recv(65536)
        connection.settimeout(0.3)
        return first[-keep:], _read(connection)
