"""Paired comparison: all servers are up together, take turns in every round, and are compared round by round."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from operator import itemgetter
from pathlib import Path
from statistics import median
from typing import Any

from bench.measure import Sample, Worthless, sample
from bench.processes import LOAD_CORE, SERVER_CORE, Server, calibrate

CONNECTIONS = 32
DRIFT = 1.15  # of the calibration within a round
WARM_UP_SECONDS = 2  # caches, plans and connections

Round = Mapping[str, Sample]


@dataclass(frozen=True)
class Entry:
    """What takes part in a round: a server, where its next requests stand, by how many connections, amid what; over how
    many seconds the first ones are spread."""

    server: Server
    requests: Callable[[], Path]
    connections: int = CONNECTIONS
    amid: Callable[[], AbstractContextManager[object]] = nullcontext
    spread: float = 0.0

    def sample(self, seconds: float) -> Sample:
        with self.amid():
            return sample(self.server, self.requests(), self.connections, seconds, spread=self.spread)


@dataclass(frozen=True)
class Outcome:
    rounds: Sequence[Round]
    dropped: Sequence[str]  # why rounds did not count
    memory: Mapping[str, float]  # MB of each server at the end

    def median(self, what: str, name: str) -> float:
        return median(getattr(one[name], what) for one in self.rounds)

    def ratios(self, what: str, name: str, base: str) -> list[float]:
        return [getattr(one[name], what) / getattr(one[base], what) for one in self.rounds]

    def as_json(self) -> dict[str, Any]:
        rounds = [{name: asdict(one) for name, one in each.items()} for each in self.rounds]
        return {"rounds": rounds, "dropped": list(self.dropped), "memory": dict(self.memory)}


def run(entries: Mapping[str, Entry], rounds: int, seconds: float) -> Outcome:
    """So many good rounds, at most twice as many in all. One that does not count is told and done again."""
    for entry in entries.values():
        with suppress(Worthless):
            entry.sample(WARM_UP_SECONDS)
    good: list[Round] = []
    dropped: list[str] = []
    while len(good) < rounds and len(good) + len(dropped) < rounds * 2:
        try:
            good.append(one_round(entries, len(good) + len(dropped), seconds))
            say(f"round {len(good) + len(dropped)}")
        except Worthless as why:
            dropped.append(str(why))
            say(f"round {len(good) + len(dropped)} does not count: {why}")
    if not good:
        raise Worthless(f"no round counted: {'; '.join(dropped)}")
    servers = {entry.server.name: entry.server for entry in entries.values()}
    return Outcome(good, dropped, {name: server.unique_megabytes() for name, server in servers.items()})


def one_round(entries: Mapping[str, Entry], turn: int, seconds: float) -> Round:
    """Each once, beginning with another one each time, with a calibration of both cores before and after each."""
    names = list(entries)
    start = turn % len(names)
    marks = {core: [("the start", calibrate(core))] for core in (SERVER_CORE, LOAD_CORE)}
    samples = {}
    for name in names[start:] + names[:start]:
        samples[name] = entries[name].sample(seconds)
        for core, took in marks.items():
            took.append((name, calibrate(core)))
    for core, took in marks.items():
        (_, least), (name, most) = (choose(took, key=itemgetter(1)) for choose in (min, max))
        if most / least > DRIFT:
            raise Worthless(f"the calibration drifted by {most / least - 1:.0%} on core {core}, after {name}")
    return {name: samples[name] for name in names}


def say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def table(outcome: Outcome, base: Callable[[str], str]) -> Iterator[str]:
    """Medians of the rounds; what it is to its base (another entry's name) with the extremes of the rounds."""
    yield "| | answers/s | of its base | CPU µs | p50 ms | p95 ms | p99 ms | USS MB |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in outcome.rounds[0]:
        rate, cpu, p50, p95, p99 = (
            outcome.median(what, name) for what in ("rate", "cpu", "p50", "p95", "p99")
        )
        memory = f"{outcome.memory[name]:.0f}" if name in outcome.memory else ""
        share = spread(outcome.ratios("rate", name, base(name)))
        yield f"| {name} | {rate:,.0f} | {share} | {cpu:.0f} | {p50:.2f} | {p95:.2f} | {p99:.2f} | {memory} |"
