"""Reads: every contender on the mapping status, and this service's other reads."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import data, field
from bench.compare import Entry
from bench.field import REFERENCE, SERVICE
from bench.processes import BUILD, Server

OTHERS = ("own satkers", "one satker", "klpd search")
ALONE = "one connection"


@contextmanager
def entries(database: data.Filled) -> Iterator[dict[str, Entry]]:
    """Every contender running: with 32 connections, the reference and this service alone, and the other reads."""
    files = request_files(database)
    with ExitStack() as stack:
        servers = [stack.enter_context(field.contender(name, database)) for name in field.commands(0)]
        servers.insert(1, stack.enter_context(field.service(database)))
        for server in servers:
            await_ready(server, files["mapping"])
        found = {server.name: Entry(server, always(files["mapping"])) for server in servers}
        for name in (REFERENCE, SERVICE):
            found[f"{name}, {ALONE}"] = Entry(found[name].server, always(files["mapping"]), 1)
        for read in OTHERS:
            found[f"{SERVICE}: {read}"] = Entry(found[SERVICE].server, always(files[read]))
        yield found


def base(name: str) -> str:
    return f"{REFERENCE}, {ALONE}" if name.endswith(ALONE) else REFERENCE


def always(path: Path) -> Callable[[], Path]:
    return lambda: path


def await_ready(server: Server, requests: Path) -> None:
    path, token = requests.read_text().split("\n", 1)[0].split(" ")
    server.await_answer(path, token)


def request_files(database: data.Filled) -> dict[str, Path]:
    reads = database.reads()
    asked = {
        "mapping": [(f"/v1/satkers/{satker}/mapping", pp) for pp, satker in reads],
        "own satkers": [("/v1/satkers", pp) for pp, _ in reads],
        "one satker": [(f"/v1/satkers/{satker}", pp) for pp, satker in reads],
        "klpd search": [(f"/v1/klpd?q=kementerian+{i % 600}", pp) for i, (pp, _) in enumerate(reads)],
        "history": [("/v1/history", pp) for pp, _ in reads],
    }
    files = {name: BUILD / f"bench-{database.name}-{name.replace(' ', '-')}.txt" for name in asked}
    for name, lines in asked.items():
        files[name].write_text(data.lines(lines))
    return files
