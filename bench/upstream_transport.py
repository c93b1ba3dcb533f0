"""How much of what raw sockets can do is left by the adapter, by its connections alone, and by stock httpx.

    python -m bench.upstream_transport [--at-once 64] [--seconds 0.1] [--calls 20] [--rounds 3]

bench/market.py, in a process of its own, answers every log-in after `--seconds`; `--at-once` callers each
make `--calls`. The contenders take turns. Prints a table in Markdown: medians, and the ratio to raw sockets.
"""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import median

import httpx
import uvloop
from app.mbiz.client import Call, Mbizmarket
from app.mbiz.transport import Connections

from bench import field
from bench.market import account

Ask = Callable[[], Awaitable[object]]
Caller = Callable[[], Awaitable[Ask]]  # with a connection of its own, where that is its way

LOGIN = {"email": "budi@mbiz.example", "password": "rahasia"}
LENGTH = len(account(LOGIN["email"]))


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Caller]:
    request = json.dumps(LOGIN).encode()
    request = b"POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(request) + request

    async def caller() -> Ask:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)

        async def ask() -> None:
            writer.write(request)
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(LENGTH)

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
    chosen = options.parse_args()
    for name in ("httpx", "httpcore"):  # a line for each call would be measured, too
        logging.getLogger(name).setLevel(logging.WARNING)
    with field.market(chosen.seconds) as market:
        market.await_answer("/")
        uvloop.run(compare(market.url, chosen.at_once, chosen.calls, chosen.rounds))


if __name__ == "__main__":
    main()
