"""A load of our own: at a fixed rate, with latency from when a request was due; or wrk's way, where there is no wrk.

    python -m bench.loader PORT FILE --connections 32 --seconds 3 [--rate 2000]

FILE as load.lua has it. Prints one line of JSON as load.lua does, with the whole latency distribution's edges.
With a rate, a request that finds no free connection waits for one, and that counts: a server that stalls is not spared.
`requests` are those that were answered within the seconds; `answers` and the percentiles are of all, late ones as well.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path

import uvloop

DRAIN_SECONDS = 5.0  # for answers that are still due when the time is over


class Load:
    def __init__(self, requests: list[bytes], rate: float | None, seconds: float, spread: float) -> None:
        self.requests = requests
        self.rate = rate
        self.seconds = seconds
        self.spread = spread
        self.sent = self.not_2xx = self.broken = 0
        self.took: list[float] = []
        self.in_time = 0  # answers that came within the seconds
        self.free: deque[Caller] = deque()
        self.late: deque[float] = deque()  # when requests were due that no connection was free for

    def start(self) -> None:
        self.begun = time.perf_counter()
        if self.rate is None:
            callers = list(self.free)
            self.free.clear()
            for n, caller in enumerate(callers):
                wait = n / len(callers) * self.spread
                asyncio.get_running_loop().call_later(wait, caller.ask, self.begun + wait)

    def due(self) -> None:
        """Hands out what has become due since the last time, oldest first."""
        now = time.perf_counter()
        while self.sent + len(self.late) < min(now - self.begun, self.seconds) * self.rate:
            self.late.append(self.begun + (self.sent + len(self.late)) / self.rate)
        while self.late and self.free:
            self.free.pop().ask(self.late.popleft())

    def over(self, caller: "Caller", status: bytes, due: float) -> None:
        now = time.perf_counter()
        self.took.append(now - due)
        self.in_time += now - self.begun <= self.seconds
        self.not_2xx += not status.startswith(b"2")
        if self.late:
            caller.ask(self.late.popleft())
        elif self.rate is None and now - self.begun < self.seconds:
            caller.ask(now)
        else:
            self.free.append(caller)

    def next_request(self) -> bytes:
        self.sent += 1
        return self.requests[self.sent % len(self.requests)]

    def told(self) -> dict[str, float]:
        half = len(self.took) // 2
        return {
            "requests": self.in_time,
            "answers": len(self.took),
            "seconds": self.seconds,
            **{f"p{part}": edge(self.took, part) for part in (50, 95, 99)},
            "p50_earlier": edge(self.took[:half], 50),
            "p50_later": edge(self.took[half:], 50),
            "not_2xx": self.not_2xx,
            "broken": self.broken + self.sent - len(self.took) + len(self.late),
        }


def edge(took: list[float], part: int) -> float:
    """Milliseconds within which so many of a hundred were answered."""
    return sorted(took)[min(len(took) - 1, int(len(took) * part / 100))] * 1e3 if took else float("nan")


class Caller(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self.load = load

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.heard = transport, b""
        self.load.free.append(self)

    def ask(self, due: float) -> None:
        self.due = due
        self.transport.write(self.load.next_request())

    def data_received(self, data: bytes) -> None:
        self.heard += data
        head, end, body = self.heard.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            self.heard = b""
            self.load.over(self, head[9:12], self.due)

    def connection_lost(self, _error: Exception | None) -> None:
        self.load.broken += 1


def as_request(line: str) -> bytes:
    path, token, body = [*line.split(" ", 2), ""][:3]
    head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n{body}".encode()


async def run(port: int, load: Load, connections: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(load), "127.0.0.1", port)
    load.start()
    while time.perf_counter() - load.begun < load.seconds:
        if load.rate is not None:
            load.due()
        await asyncio.sleep(0.0005)
    give_up = time.perf_counter() + DRAIN_SECONDS
    while (load.late or len(load.free) < connections) and time.perf_counter() < give_up:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    told = load.told()
    for caller in load.free:
        caller.transport.close()
    return told


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("port", type=int)
    options.add_argument("file", type=Path)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--seconds", type=float, default=3)
    options.add_argument("--rate", type=float)
    options.add_argument(
        "--spread", type=float, default=0, help="seconds over which the connections begin, without a rate"
    )
    chosen = options.parse_args()
    requests = [as_request(line) for line in chosen.file.read_text().splitlines()]
    load = Load(requests, chosen.rate, chosen.seconds, chosen.spread)
    sys.stdout.write(f"JSON {json.dumps(uvloop.run(run(chosen.port, load, chosen.connections)))}\n")


if __name__ == "__main__":
    main()
