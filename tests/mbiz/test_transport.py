"""The free list of connections, over real sockets and on both event loops: what is kept, closed and given back."""

import asyncio
import gc
import re
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.mbiz.connection import MOST_BYTES, MOST_HEAD_BYTES
from app.mbiz.transport import Connections

from tests.mbiz.servers import self_signed, until

pytestmark = pytest.mark.anyio

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbaik"
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nba"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbaik"
NOTHING = b""
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by a reset


@pytest.fixture(params=[{}, {"use_uvloop": True}], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The service runs on uvloop, its tests and commands on asyncio's own."""
    return "asyncio", request.param


class Server:
    """Gives every request the same `answer` after `delay` seconds, and knows which connections are open."""

    def __init__(self) -> None:
        self.answer = ANSWER
        self.delay = 0.0
        self.url = ""
        self.requests = 0
        self.accepted = 0
        self.bytes_of_bodies = 0
        self.piece = 10**9  # bytes of an answer that are written at a time
        self.open: set[asyncio.StreamWriter] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open.add(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                if length := re.search(rb"content-length: (\d+)", head.lower()):
                    self.bytes_of_bodies += len(await reader.readexactly(int(length[1])))
                await asyncio.sleep(self.delay)
                for start in range(0, len(self.answer), self.piece):
                    writer.write(self.answer[start : start + self.piece])
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side, or the test, has closed it
        finally:
            self.open.discard(writer)
            writer.close()

    def hang_up(self, *, reset: bool = False) -> None:
        for writer in self.open:
            if reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.close()


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.accept, "127.0.0.1", port, ssl=tls, backlog=256)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
    try:
        yield server
    finally:
        listening.close()
        server.hang_up()
        await until(lambda: not server.open)


@asynccontextmanager
async def client(url: str, most: int = 1, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    timeout = httpx.Timeout(None, pool=options.pop("pool", 2))
    transport = Connections(url, most, **options)
    async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as http:
        yield http


async def cancelled(task: "asyncio.Task[httpx.Response]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# Kept


async def test_ask_again() -> None:
    """A connection whose answer was read is used again."""
    async with serving() as server, client(server.url) as http:
        assert ["baik"] * 3 == [(await http.get(server.url)).text for _ in range(3)]
        assert (3, 1) == (server.requests, server.accepted)


async def test_ask_by_sixty_four_at_once() -> None:
    """Each has a connection of its own, and they are all kept for the next sixty-four."""
    async with serving() as server, client(server.url, 64) as http:
        server.delay = 0.2
        for _ in range(2):
            start = time.monotonic()
            answers = await asyncio.gather(*(http.get(server.url) for _ in range(64)))
            assert ["baik"] * 64 == [answer.text for answer in answers]
            assert time.monotonic() - start < 64 * 0.2 / 4  # a quarter of what one after the other would take
        assert (128, 64) == (server.requests, server.accepted)


async def test_ask_by_one_after_a_rush() -> None:
    """The connection used last is taken first, so that the others grow old and are closed."""
    async with serving() as server, client(server.url, 8, keep_alive=0.3) as http:
        server.delay = 0.02
        await asyncio.gather(*(http.get(server.url) for _ in range(8)))
        for _ in range(20):
            await http.get(server.url)
            await asyncio.sleep(0.02)
        assert (8, 1) == (server.accepted, len(server.open))


async def test_ask_with_tls(tmp_path: Path) -> None:
    """One context for all connections; a server it does not trust is refused."""
    async with serving(self_signed(tmp_path)) as server:
        trusting = ssl.create_default_context(cafile=tmp_path / "server.pem")
        async with client(server.url, 4, tls=trusting) as http:
            for _ in range(2):
                answers = await asyncio.gather(*(http.get(server.url) for _ in range(4)))
                assert ["baik"] * 4 == [answer.text for answer in answers]
            assert (8, 4) == (server.requests, server.accepted)
        async with client(server.url) as http:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await http.get(server.url)
        assert 8 == server.requests


# Bounded


async def test_ask_by_more_than_there_is_room_for() -> None:
    """The others wait, and all are answered."""
    async with serving() as server, client(server.url, 2) as http:
        server.delay = 0.05
        answers = await asyncio.gather(*(http.get(server.url) for _ in range(8)))
        assert ["baik"] * 8 == [answer.text for answer in answers]
        assert 2 == server.accepted


async def test_ask_while_all_are_in_use() -> None:
    """Waiting ends with the pool timeout, known to have sent nothing."""
    async with serving() as server, client(server.url, pool=0.05) as http:
        server.answer = NOTHING
        hanging = asyncio.create_task(http.get(server.url))
        await until(lambda: server.requests == 1)
        with pytest.raises(httpx.PoolTimeout):
            await http.get(server.url)
        await cancelled(hanging)
        assert (1, 1) == (server.requests, server.accepted)


# Given back, and closed


@pytest.mark.parametrize("answer", [NOTHING, HALF], ids=["before the answer", "within it"])
@pytest.mark.parametrize("times", [1, 2])
async def test_cancel(answer: bytes, times: int) -> None:
    """The connection is closed, even when the task is cancelled again meanwhile, and its place is free."""
    async with serving() as server, client(server.url) as http:
        server.answer = answer
        leaving = asyncio.create_task(http.get(server.url))
        await until(lambda: server.requests == 1)
        await asyncio.sleep(0.02)
        for _ in range(times - 1):
            leaving.cancel()
            await asyncio.sleep(0)
        await cancelled(leaving)
        await until(lambda: not server.open)

        server.answer = ANSWER
        assert "baik" == (await http.get(server.url)).text
        assert (2, 2) == (server.requests, server.accepted)


async def test_cancel_in_the_tls_handshake() -> None:
    """The socket is closed at once, and not when the garbage is collected; its place is free."""
    async with serving() as server:
        url = f"https{server.url[4:]}"
        async with client(url) as http:
            gc.disable()
            try:
                for _ in range(2):
                    leaving = asyncio.create_task(http.get(url))
                    await until(lambda: server.open)
                    await asyncio.sleep(0.02)
                    await cancelled(leaving)
                    await until(lambda: not server.open)
            finally:
                gc.enable()
        assert 2 == server.accepted


async def test_cancel_while_waiting_for_room() -> None:
    """Who leaves the queue takes nobody's place."""
    async with serving() as server, client(server.url) as http:
        server.delay = 0.1
        asking = asyncio.create_task(http.get(server.url))
        waiting = [asyncio.create_task(http.get(server.url)) for _ in range(3)]
        await until(lambda: server.requests == 1)
        for task in waiting:
            await cancelled(task)
        assert "baik" == (await asking).text
        assert "baik" == (await http.get(server.url)).text
        assert (2, 1) == (server.requests, server.accepted)


async def test_cancel_by_the_hundred() -> None:
    """At whatever moment calls are cancelled, every place comes back and no connection stays open."""
    async with serving() as server, client(server.url, 8) as http:
        server.delay = 0.001
        for round_ in range(100):
            tasks = [asyncio.create_task(http.get(server.url)) for _ in range(12)]
            await asyncio.sleep(0.0002 * (round_ % 30))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        answers = await asyncio.gather(*(http.get(server.url) for _ in range(8)))
        assert ["baik"] * 8 == [answer.text for answer in answers]
        await until(lambda: len(server.open) <= 8)
    await until(lambda: not server.open)


async def test_ask_and_be_cut() -> None:
    """An answer cut short is an error, and its connection is not used again."""
    async with serving() as server, client(server.url) as http:
        server.answer = HALF
        cut = asyncio.create_task(http.get(server.url))
        await until(lambda: server.requests == 1)
        server.hang_up()
        with pytest.raises(httpx.RemoteProtocolError):
            await cut
        server.answer = ANSWER
        assert "baik" == (await http.get(server.url)).text
        assert 2 == server.accepted


async def test_leave_an_answer_unread() -> None:
    """What was not read to its end could be taken for the next answer."""
    async with serving() as server, client(server.url) as http:
        async with http.stream("GET", server.url) as answer:
            assert 200 == answer.status_code
        await until(lambda: not server.open)
        assert "baik" == (await http.get(server.url)).text
        assert 2 == server.accepted


async def test_ask_after_the_last_answer_of_a_connection() -> None:
    """A server that says it will close is taken at its word."""
    async with serving() as server, client(server.url) as http:
        server.answer = LAST
        assert "baik" == (await http.get(server.url)).text
        server.answer = ANSWER
        assert "baik" == (await http.get(server.url)).text
        assert 2 == server.accepted


@pytest.mark.parametrize("more", [b"x", ANSWER.replace(b"baik", b"lain")], ids=["a byte", "an answer"])
async def test_ask_after_more_than_was_asked_for(more: bytes) -> None:
    """What comes with an answer, beyond its end, is never taken for the next call's."""
    async with serving() as server, client(server.url) as http:
        server.answer = ANSWER + more
        assert ["baik"] * 3 == [(await http.get(server.url)).text for _ in range(3)]
        assert (3, 3) == (server.requests, server.accepted)


async def test_ask_after_an_answer_that_nobody_asked_for() -> None:
    """What arrives while a connection is idle is never taken for the next call's answer."""
    async with serving() as server, client(server.url) as http:
        assert "baik" == (await http.get(server.url)).text
        for writer in server.open:
            writer.write(ANSWER.replace(b"baik", b"lain"))
        await asyncio.sleep(0.05)
        assert "baik" == (await http.get(server.url)).text
        assert (2, 2) == (server.requests, server.accepted)


async def test_ask_where_nobody_listens() -> None:
    """Refused once, and tried once; the place is free for the next, when somebody listens again."""
    async with serving() as server:
        url = server.url
    async with client(url) as http:
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await http.get(url)
        async with serving(port=httpx.URL(url).port or 0):
            assert "baik" == (await http.get(url)).text


async def test_ask_another_host() -> None:
    """A connection to one host is never used for another."""
    async with serving() as server, serving() as other, client(server.url) as http:
        for url in (other.url, f"https{server.url[4:]}", server.url.replace("127.0.0.1", "localhost")):
            with pytest.raises(httpx.UnsupportedProtocol):
                await http.get(url)
        assert (0, 0) == (server.accepted, other.accepted)


# Idle


async def test_wait_past_the_keep_alive() -> None:
    """Idle connections are closed without another call having to come by."""
    async with serving() as server, client(server.url, 4, keep_alive=0.1) as http:
        server.delay = 0.02
        await asyncio.gather(*(http.get(server.url) for _ in range(4)))
        assert 4 == len(server.open)
        await until(lambda: not server.open, 1)
        assert "baik" == (await http.get(server.url)).text
        assert 5 == server.accepted


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_ask_after_the_server_hung_up(reset: bool) -> None:
    """A connection that the server has closed is not used: every call is answered, and none is sent twice."""
    async with serving() as server, client(server.url, 4) as http:
        server.delay = 0.02
        await asyncio.gather(*(http.get(server.url) for _ in range(4)))
        server.hang_up(reset=reset)
        await until(lambda: not server.open)

        answers = await asyncio.gather(*(http.get(server.url) for _ in range(4)))
        assert ["baik"] * 4 == [answer.text for answer in answers]
        assert (8, 8) == (server.requests, server.accepted)


async def test_close() -> None:
    """Idle connections are closed; one in use is, too, when its answer has come."""
    async with serving() as server:
        transport = Connections(server.url, 2)
        http = httpx.AsyncClient(transport=transport, trust_env=False)
        server.delay = 0.1
        await asyncio.gather(*(http.get(server.url) for _ in range(2)))
        last = asyncio.create_task(http.get(server.url))
        await until(lambda: server.requests == 3)
        await transport.aclose()
        await until(lambda: len(server.open) == 1)
        assert "baik" == (await last).text
        await until(lambda: not server.open)
        await http.aclose()


# Answers in all their forms

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nba\r\n2;x=y\r\nik\r\n0\r\nX-Trailer: lain\r\n\r\n"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\nbaik"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        pytest.param(CHUNKED, True, id="chunked, with a trailer"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ANSWER, True, id="after a hint"),
        pytest.param(ANSWER.replace(b"Content-Length", b"content-LENGTH"), True, id="in any case"),
        pytest.param(ANSWER.replace(b"1.1", b"1.0"), False, id="HTTP/1.0"),
        pytest.param(LAST, False, id="the last"),
    ],
)
@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_answer_in_pieces(answer: bytes, kept: bool, piece: int) -> None:
    """However an answer is framed and cut into packets, it is the same answer."""
    async with serving() as server, client(server.url) as http:
        server.answer, server.piece = answer, piece
        for _ in range(2):
            heard = await http.get(server.url)
            assert (200, "baik") == (heard.status_code, heard.text)
            assert not {"x-trailer", "link"} & set(heard.headers)
        assert (1 if kept else 2) == server.accepted


async def test_answer_to_the_end_of_the_connection() -> None:
    """An answer without a length ends when the server hangs up; by a reset it does not."""
    async with serving() as server, client(server.url) as http:
        server.answer = TO_THE_END
        for reset in (False, True):
            asking = asyncio.create_task(http.get(server.url))
            await until(lambda: server.requests == server.accepted == 1 + reset)  # noqa: B023
            await asyncio.sleep(0.02)
            server.hang_up(reset=reset)
            if reset:
                with pytest.raises(httpx.ReadError):
                    await asking
            else:
                assert "baik" == (await asking).text


@pytest.mark.parametrize("status", [204, 304])
async def test_answer_without_a_body(status: int) -> None:
    """Some statuses never have one, whatever length they claim."""
    async with serving() as server, client(server.url) as http:
        server.answer = b"HTTP/1.1 %d X\r\nContent-Length: 4\r\n\r\n" % status
        heard = [await http.get(server.url) for _ in range(2)]
        assert [(status, b"")] * 2 == [(answer.status_code, answer.content) for answer in heard]
        assert 1 == server.accepted


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"220 mail.example ESMTP\r\n\r\n", id="another protocol"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbaik", id="two lengths"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="a negative length"),
        pytest.param(CHUNKED.replace(b"2;x=y", b"zz"), id="a chunk of no size"),
        pytest.param(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", id="an upgrade"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * MOST_HEAD_BYTES, id="an endless header"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * MOST_HEAD_BYTES, id="endless headers"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n" * MOST_HEAD_BYTES, id="endless hints"),
    ],
)
async def test_answer_in_no_form(answer: bytes) -> None:
    """What is no HTTP, or has no end, is an error at once, and its connection is closed."""
    async with serving() as server, client(server.url) as http:
        server.answer = answer
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(server.url)
        await until(lambda: not server.open)
        assert 1 == server.requests


async def test_answer_too_large() -> None:
    """Its status is heard, its body is not kept in memory, and the rest is not waited for."""
    async with serving() as server, client(server.url) as http:
        server.answer = b"HTTP/1.1 409 X\r\nContent-Length: %d\r\n\r\n" % 10**9 + b"x" * (MOST_BYTES + 1)
        heard = await http.get(server.url)
        assert (409, b"") == (heard.status_code, heard.content)
        await until(lambda: not server.open)


@pytest.mark.parametrize(
    "headers",
    [{"X": "a\r\nHost: evil"}, {"X": "a\nb"}, {"X\r\nY": "a"}, {"X": "a\rb"}, {"X": "a\0b"}],
    ids=repr,
)
async def test_ask_with_a_header_of_two_lines(headers: dict[str, str]) -> None:
    """Nothing that is put into a header can say more than that header."""
    async with serving() as server, client(server.url) as http:
        with pytest.raises(httpx.LocalProtocolError):
            await http.get(server.url, headers=headers)
        assert 0 == server.requests


async def test_ask_with_a_body() -> None:
    """Sent whole, with its length; one of unknown length is not sent."""
    async with serving() as server, client(server.url) as http:
        assert 200 == (await http.post(server.url, content=b"x" * 300_000 + b"\r\n\r\n")).status_code
        assert 300_004 == server.bytes_of_bodies

        async def unknown() -> AsyncIterator[bytes]:
            yield b"x"

        with pytest.raises(httpx.LocalProtocolError):
            await http.post(server.url, content=unknown())
        assert 1 == server.requests
