"""What was to be reached, and whether it was."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from bench import growth, linking, reads
from bench.compare import Outcome, spread
from bench.field import FASTIFY, LITESTAR, REFERENCE, SERVICE, TEMPLATE
from bench.start import Starts


@dataclass(frozen=True)
class Target:
    what: str
    values: list[float]  # of the rounds
    least: float | None = None
    most: float | None = None
    stretch: float | None = None

    @property
    def reached(self) -> bool:
        found = median(self.values)
        return (self.least is None or found >= self.least) and (self.most is None or found <= self.most)

    @property
    def verdict(self) -> str:
        if self.stretch is not None and median(self.values) >= self.stretch:
            return "reached, and the stretch"
        return "reached" if self.reached else "**not reached**"

    @property
    def wanted(self) -> str:
        text = f"≥ {self.least}" if self.least is not None else f"≤ {self.most}"
        return text if self.stretch is None else f"{text}, stretch {self.stretch}"


def of_reads(outcome: Outcome) -> Iterator[Target]:
    rate = lambda name, base=REFERENCE: outcome.ratios("rate", name, base)  # noqa: E731
    yield Target("mapping status ÷ reference", rate(SERVICE), least=1.25, stretch=2.2)
    yield Target("÷ template style", rate(SERVICE, TEMPLATE), least=10)
    yield Target("÷ Litestar", rate(SERVICE, LITESTAR), least=7)
    if FASTIFY in outcome.rounds[0]:
        yield Target("÷ Fastify", rate(SERVICE, FASTIFY), least=0.7, stretch=1.0)
    yield Target("p99 ÷ the reference's", outcome.ratios("p99", SERVICE, REFERENCE), most=1.0)
    alone = [f"{name}, {reads.ALONE}" for name in (SERVICE, REFERENCE)]
    yield Target("one connection, p50 ÷ the reference's", outcome.ratios("p50", *alone), most=1.3)
    for read in reads.OTHERS:
        yield Target(f"{read} ÷ reference", rate(f"{SERVICE}: {read}"), least=0.35)
    yield Target("memory of a worker, USS in MB", [outcome.memory[SERVICE]], most=65)


def of_linking(outcome: Outcome) -> Iterator[Target]:
    log_in = outcome.ratios("cpu", linking.FAST_SERVICE, linking.FAST_BARE)
    yield Target("log in and map: CPU ÷ a bare route's", log_in, most=1.5)
    slow = linking.SLOW_SERVICE, linking.SLOW_RAW
    yield Target(
        f"{linking.AT_ONCE} log-ins at a time ÷ raw sockets", outcome.ratios("rate", *slow), least=0.9
    )
    yield Target("their p99 ÷ the upstream's", outcome.ratios("p99", *slow), most=1.25)
    hanging = outcome.ratios("p95", linking.AMID_HANGING, linking.CALM)
    yield Target(f"local reads' p95 while {linking.HANGING} calls hang ÷ alone", hanging, most=1.2)


def of_growth(outcome: Outcome, smallest: int, largest: int) -> Iterator[Target]:
    for call in ("mapping", "history"):
        values = outcome.ratios("p50", growth.name(call, largest), growth.name(call, smallest))
        yield Target(f"{call}, p50 at {largest:,} mappings ÷ at {smallest:,}", values, most=1.3)


def of_start(starts: Starts) -> Iterator[Target]:
    yield Target("exec to first 200 ÷ raw ASGI", starts.ratios, most=5)


def table(targets: list[Target]) -> Iterator[str]:
    yield "| target | wanted | median (min–max) | |"
    yield "|---|---|---|---|"
    for target in targets:
        yield f"| {target.what} | {target.wanted} | {spread(target.values)} | {target.verdict} |"
