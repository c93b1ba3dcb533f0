"""The paired comparison: all contenders are up together, take turns in every round, and are compared round by round."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench import data, field
from bench.measure import Sample, Worthless, sample
from bench.processes import BUILD, LOAD_CORE, SERVER_CORE, Server, calibrate

CONNECTIONS = 32
DRIFT = 1.15  # of the calibration within a round

Round = Mapping[str, Sample]


@dataclass(frozen=True)
class Entry:
    """What takes part in a round: a server, the requests, and by how many connections."""

    server: Server
    requests: Path
    connections: int = CONNECTIONS


@dataclass(frozen=True)
class Outcome:
    rounds: Sequence[Round]
    dropped: Sequence[str]  # why rounds did not count
    memory: Mapping[str, float]  # MB of each server at the end


@contextmanager
def entries(database: data.Filled) -> Iterator[dict[str, Entry]]:
    """Every contender running and warm: with 32 connections, alone, and this service's other reads."""
    requests = request_files(database)
    with ExitStack() as stack:
        servers = [stack.enter_context(field.contender(name, database)) for name in field.commands(0)]
        servers.insert(1, stack.enter_context(field.service(database)))
        for server in servers:
            await_ready(server, requests["mapping"])
        found = {server.name: Entry(server, requests["mapping"]) for server in servers}
        for name in (field.REFERENCE, field.SERVICE):
            found[f"{name}, one connection"] = Entry(found[name].server, requests["mapping"], 1)
        for read in ("own satkers", "one satker", "klpd search"):
            found[f"{field.SERVICE}: {read}"] = Entry(found[field.SERVICE].server, requests[read])
        yield found


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
    }
    files = {name: BUILD / f"bench-{name.replace(' ', '-')}.txt" for name in asked}
    for name, lines in asked.items():
        files[name].write_text(data.lines(lines))
    return files


def run(found: Mapping[str, Entry], rounds: int, seconds: float) -> Outcome:
    """So many good rounds, at most twice as many in all. One that does not count is told and done again."""
    for entry in found.values():  # caches, plans and connections
        sample(entry.server, entry.requests, entry.connections, 1)
    good: list[Round] = []
    dropped: list[str] = []
    for turn in range(rounds * 2):
        if len(good) == rounds:
            break
        try:
            good.append(one_round(found, turn, seconds))
        except Worthless as why:
            dropped.append(str(why))
        sys.stderr.write(
            f"round {turn + 1}: {dropped[-1] if len(dropped) + len(good) != turn + 1 else 'done'}\n"
        )
    servers = {entry.server.name: entry.server for entry in found.values()}
    return Outcome(good, dropped, {name: server.unique_megabytes() for name, server in servers.items()})


def one_round(found: Mapping[str, Entry], turn: int, seconds: float) -> Round:
    """Each once, beginning with another one each time, with a calibration of both cores before and after each."""
    names = list(found)
    start = turn % len(names)
    marks = {core: [calibrate(core)] for core in (SERVER_CORE, LOAD_CORE)}
    samples = {}
    for name in names[start:] + names[:start]:
        entry = found[name]
        samples[name] = sample(entry.server, entry.requests, entry.connections, seconds)
        for core, took in marks.items():
            took.append(calibrate(core))
    drift = max(max(took) / min(took) for took in marks.values())
    if drift > DRIFT:
        raise Worthless(f"the calibration drifted by {drift - 1:.0%}")
    return samples


def ratios(rounds: Sequence[Round], what: str, name: str, base: str) -> list[float]:
    return [getattr(r[name], what) / getattr(r[base], what) for r in rounds]


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def table(outcome: Outcome) -> Iterator[str]:
    yield "| contender | answers/s | of the reference | CPU µs | p50 ms | p99 ms | USS MB |"
    yield "|---|---|---|---|---|---|---|"
    for name in outcome.rounds[0]:
        of = lambda what, name=name: median(getattr(r[name], what) for r in outcome.rounds)  # noqa: E731
        base = f"{field.REFERENCE}, one connection" if "one connection" in name else field.REFERENCE
        share = spread(ratios(outcome.rounds, "rate", name, base))
        memory = outcome.memory.get(name)
        yield (
            f"| {name} | {of('rate'):,.0f} | {share} | {of('cpu'):.0f} | {of('p50'):.2f} | {of('p99'):.2f} | "
            f"{'' if memory is None else f'{memory:.0f}'} |"
        )


def as_json(outcome: Outcome) -> dict[str, Any]:
    rounds = [{name: asdict(one) for name, one in r.items()} for r in outcome.rounds]
    return {"rounds": rounds, "dropped": list(outcome.dropped), "memory": dict(outcome.memory)}
