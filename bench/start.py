"""From exec to the first 200, beside the least that the same server program can serve."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from bench import data, field
from bench.processes import Server


@dataclass(frozen=True)
class Starts:
    """Milliseconds, start by start."""

    service: list[float]
    raw: list[float]

    @property
    def ratios(self) -> list[float]:
        return [service / raw for service, raw in zip(self.service, self.raw, strict=True)]


def measure(database: data.Filled, times: int) -> Starts:
    found = Starts([], [])
    for _ in range(times + 1):
        found.raw.append(once(field.raw_asgi))
        found.service.append(once(lambda: field.service(database)))
    del found.raw[0], found.service[0]  # what was read from the disk for the first time
    return found


def once(start: Callable[[], Server]) -> float:
    begun = time.perf_counter()
    with start() as server:
        server.await_answer("/healthz", every=0.002)
        return (time.perf_counter() - begun) * 1000


def row(name: str, values: list[float]) -> str:
    return f"| {name} | {median(values):.0f} | {min(values):.0f}–{max(values):.0f} |"
