"""Log in and map: what it costs beside a bare route, how near it comes to sockets, whom a hanging one hurts."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

from bench import data, field, reads
from bench.compare import Entry, Outcome, spread
from bench.field import BARE, SERVICE
from bench.measure import Worthless
from bench.processes import BUILD, Server

AT_ONCE = 64
# Seconds that the slow mbizmarket takes. Its callers begin over as long, as they would go on: all in one instant, the
# first of them would wait for one another, and be the 99th percentile of so few seconds.
SLOW = 0.1
HANGING = 200
HANG_SETTLE = 4.0  # seconds that they may take to get to mbizmarket, of the ten that they have
A_SAMPLE = 4000  # log-ins, each of a satker that was never mapped

FAST_SERVICE, FAST_BARE = f"{SERVICE}, 0 ms", f"{BARE}, 0 ms"
SLOW_SERVICE, SLOW_RAW = f"{SERVICE}, 100 ms, {AT_ONCE} at once", f"raw sockets, 100 ms, {AT_ONCE} at once"
CALM, AMID_HANGING = "mapping status", f"mapping status while {HANGING} log-ins hang"


@contextmanager
def entries(database: data.Filled) -> Iterator[dict[str, Entry]]:
    log_ins = LogIns(database)
    read = reads.request_files(database)["mapping"]
    with ExitStack() as stack:
        at_once, slow = (stack.enter_context(field.market(seconds)) for seconds in (0, SLOW))
        service = stack.enter_context(field.service(database, at_once.url))
        bare = stack.enter_context(field.bare(database, at_once.url))
        slow_service = stack.enter_context(field.service(database, slow.url, f"{SERVICE} of 100 ms"))
        # One of its own: after so many that came to nothing its breaker is open for a while, as it should be.
        hung = stack.enter_context(field.service(database, slow.url, f"{SERVICE} that hangs"))
        for server in (service, slow_service, bare, hung):
            server.await_answer("/healthz")
        hang = lambda: hanging(hung, slow, log_ins)  # noqa: E731
        yield {
            FAST_SERVICE: Entry(service, log_ins.next_file),
            FAST_BARE: Entry(bare, log_ins.next_file),
            SLOW_SERVICE: Entry(slow_service, log_ins.next_file, AT_ONCE, spread=SLOW),
            SLOW_RAW: Entry(slow, log_ins.next_raw_file, AT_ONCE, spread=SLOW),
            CALM: Entry(hung, reads.always(read)),
            AMID_HANGING: Entry(hung, reads.always(read), amid=hang),
        }


def base(name: str) -> str:
    return {FAST_SERVICE: FAST_BARE, SLOW_SERVICE: SLOW_RAW, AMID_HANGING: CALM}.get(name, name)


GRID = [(seconds, at_once) for seconds in (0, SLOW) for at_once in (1, 16, 64, 200)]


def grid_names(seconds: float, at_once: int) -> tuple[str, str]:
    """The service's entry, and that of the sockets it is measured by."""
    what = f"{seconds * 1000:.0f} ms, {at_once} at once"
    return f"{SERVICE}, {what}", f"raw sockets, {what}"


@contextmanager
def grid(database: data.Filled) -> Iterator[dict[str, Entry]]:
    """The service against raw sockets: an mbizmarket that is quick and one that is slow, from one caller to many."""
    log_ins = LogIns(database)
    entries: dict[str, Entry] = {}
    with ExitStack() as stack:
        for seconds in (0, SLOW):
            market = stack.enter_context(field.market(seconds))
            service = stack.enter_context(field.service(database, market.url, f"{SERVICE} of {seconds} s"))
            service.await_answer("/healthz")
            for at_once in (at_once for took, at_once in GRID if took == seconds):
                ours, raw = grid_names(seconds, at_once)
                enough = A_SAMPLE if seconds == 0 else min(A_SAMPLE, at_once * 50)
                entries[ours] = Entry(service, partial(log_ins.next_file, enough), at_once, spread=seconds)
                entries[raw] = Entry(market, log_ins.next_raw_file, at_once, spread=seconds)
        yield entries


def grid_base(name: str) -> str:
    return name.replace(SERVICE, "raw sockets")


def grid_table(outcome: Outcome) -> Iterator[str]:
    yield "| mbizmarket's ms | at once | log-ins/s | ÷ raw sockets | p99 ms | ÷ the upstream's |"
    yield "|---|---|---|---|---|---|"
    for seconds, at_once in GRID:
        ours, raw = grid_names(seconds, at_once)
        rate, p99 = (spread(outcome.ratios(what, ours, raw)) for what in ("rate", "p99"))
        yield (
            f"| {seconds * 1000:.0f} | {at_once} | {outcome.median('rate', ours):,.0f} | {rate} "
            f"| {outcome.median('p99', ours):.1f} | {p99} |"
        )


class LogIns:
    """Requests to log in and map, in files; those of a file are never handed out again."""

    def __init__(self, database: data.Filled) -> None:
        self._left = database.to_map()
        self._name = database.name
        self._files = 0

    def lines(self, many: int, mailbox: str = "") -> Iterator[tuple[str, str]]:
        """(path, the rest of the line) of so many."""
        for pp, satker, email in islice(self._left, many):
            body = json.dumps({"email": mailbox + email, "password": "Rahasia-123"})
            yield f"/v1/satkers/{satker}/mapping/login", f"{data.token(pp)} {body}"

    def next_file(self, many: int = A_SAMPLE) -> Path:
        return self._write(f"{path} {rest}" for path, rest in self.lines(many))

    def next_raw_file(self) -> Path:
        """The same for mbizmarket itself."""
        return self._write(f"/v1/login {rest}" for _, rest in self.lines(100))

    def _write(self, lines: Iterator[str]) -> Path:
        self._files += 1
        path = BUILD / f"bench-{self._name}-log-ins-{self._files % 8}.txt"
        path.write_text("".join(f"{line}\n" for line in lines))
        if not path.stat().st_size:
            raise Worthless("there are no satkers left to be mapped")
        return path


@contextmanager
def hanging(server: Server, market: Server, log_ins: LogIns) -> Iterator[None]:
    """So many log-ins on their way to an mbizmarket that says nothing, until the block ends."""
    with ExitStack() as stack:
        for line in log_ins.lines(
            1
        ):  # one that succeeds, or after five times the breaker would let none through
            if b" 201 " not in stack.enter_context(_sent(server, *line)).recv(4096):
                raise Worthless("a log-in does not succeed")
        for line in log_ins.lines(HANGING, "hang"):
            stack.enter_context(_sent(server, *line))
        give_up = time.monotonic() + HANG_SETTLE
        while market.connections() < HANGING and time.monotonic() < give_up:
            time.sleep(0.1)
        if market.connections() < HANGING:
            raise Worthless(f"only {market.connections()} calls hang")
        yield
        if market.connections() < HANGING:
            raise Worthless(f"only {market.connections()} calls still hang")


def _sent(server: Server, path: str, rest: str) -> socket.socket:
    token, body = rest.split(" ", 1)
    wire = socket.create_connection(("127.0.0.1", server.port), 20)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    wire.sendall((head + body).encode())
    return wire
