"""How much of what raw sockets can do is left by the adapter, by its connections alone, and by stock httpx.

    python -m bench.upstream_transport [--at-once 64] [--seconds 0.1] [--calls 20] [--rounds 3]

An mbizmarket of a few lines, in a process of its own, answers every log-in after `--seconds`; `--at-once` callers each
make `--calls`. The contenders take turns. Prints a table in Markdown: medians, and the ratio to raw sockets.
"""

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import median

import httpx
import uvloop
from app.mbiz.client import Call, Mbizmarket
from app.mbiz.transport import Connections

Ask = Callable[[], Awaitable[object]]
Caller = Callable[[], Awaitable[Ask]]  # with a connection of its own, where that is its way

LOGIN = {"email": "budi@mbiz.example", "password": "rahasia"}
ACCOUNT = {"account_id": "A-1", "email": LOGIN["email"], "name": "Budi", "companies": []}
BODY = json.dumps(
    {"account": ACCOUNT, "access_token": "t", "token_type": "Bearer", "expires_in": 3600}
).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


class Market(asyncio.Protocol):
    """Answers each write as one request: all callers here send a request in one piece, or in two."""

    seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.heard = transport, b""

    def data_received(self, data: bytes) -> None:
        self.heard += data
        head, end, body = self.heard.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if end and len(body) >= int(length or 0):
            self.heard = b""
            asyncio.get_running_loop().call_later(self.seconds, self.answer)

    def answer(self) -> None:
        self.transport.write(HEAD % len(BODY) + BODY)  # type: ignore[attr-defined]


async def serve(seconds: float) -> None:
    Market.seconds = seconds
    server = await asyncio.get_running_loop().create_server(Market, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Caller]:
    request = json.dumps(LOGIN).encode()
    request = b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(request) + request

    async def caller() -> Ask:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)

        async def ask() -> None:
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(BODY))

        return ask

    yield caller


@asynccontextmanager
async def through(transport: httpx.AsyncBaseTransport, url: str) -> AsyncIterator[Caller]:
    async with httpx.AsyncClient(transport=transport, timeout=None, trust_env=False) as http:  # noqa: S113 - loopback

        async def caller() -> Ask:
            return lambda: http.post(f"{url}/v1/login", json=LOGIN)

        yield caller


@asynccontextmanager
async def adapter(url: str) -> AsyncIterator[Caller]:
    mbiz = Mbizmarket(url, "bela", ["secret"])

    async def caller() -> Ask:
        return lambda: mbiz.log_in(Call.within(60, "bench"), **LOGIN)

    yield caller
    await mbiz.aclose()


async def measure(caller: Caller, at_once: int, calls: int) -> tuple[float, float, float]:
    """Calls a second, their 99th percentile in milliseconds, and CPU per call in microseconds."""
    took: list[float] = []

    async def keep_asking(ask: Ask) -> None:
        for _ in range(calls):
            begun = time.monotonic()
            await ask()
            took.append(time.monotonic() - begun)

    asks = [await caller() for _ in range(at_once)]
    await asyncio.gather(*(ask() for ask in asks))  # everybody is connected, and has our token
    begun, cpu = time.monotonic(), time.process_time()
    await asyncio.gather(*map(keep_asking, asks))
    wall, cpu = time.monotonic() - begun, time.process_time() - cpu
    return len(took) / wall, sorted(took)[len(took) * 99 // 100] * 1e3, cpu / len(took) * 1e6


async def compare(url: str, at_once: int, calls: int, rounds: int) -> None:
    limits = httpx.Limits(max_connections=max(at_once, 100), max_keepalive_connections=max(at_once, 100))
    contenders: dict[str, Callable[[], AbstractAsyncContextManager[Caller]]] = {
        "raw sockets": lambda: raw(url),
        "the adapter": lambda: adapter(url),
        "its connections": lambda: through(Connections(url, at_once), url),
        "stock httpx": lambda: through(httpx.AsyncHTTPTransport(limits=limits, trust_env=False), url),
    }
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            async with contender() as caller:
                results[name].append(await measure(caller, at_once, calls))
    sys.stdout.write(
        "| contender | calls/s | of raw sockets | p99 ms | CPU µs a call |\n|---|---|---|---|---|\n"
    )
    best = median(rate for rate, _, _ in results["raw sockets"])
    for name, rows in results.items():
        rate, p99, cpu = (median(column) for column in zip(*rows, strict=True))
        sys.stdout.write(f"| {name} | {rate:.0f} | {rate / best:.2f} | {p99:.0f} | {cpu:.0f} |\n")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--at-once", type=int, default=64)
    options.add_argument("--seconds", type=float, default=0.1)
    options.add_argument("--calls", type=int, default=20)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        uvloop.run(serve(chosen.seconds))
        return
    for name in ("httpx", "httpcore"):  # a line for each call would be measured, too
        logging.getLogger(name).setLevel(logging.WARNING)
    command = [sys.executable, "-m", "bench.upstream_transport", "--serve", "--seconds", str(chosen.seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as market:
        try:
            port = int(market.stdout.readline()) if market.stdout else 0
            uvloop.run(compare(f"http://127.0.0.1:{port}", chosen.at_once, chosen.calls, chosen.rounds))
        finally:
            market.kill()


if __name__ == "__main__":
    main()
