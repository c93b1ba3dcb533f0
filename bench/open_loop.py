"""make bench-open: latency against the rate at which requests arrive, whether or not earlier ones were answered.

A closed loop spares a server that stalls: its callers wait with it. Here each latency counts from the instant at which
the request was due. Rates rise until a server does not keep up with one; no higher one is tried, nor that one drawn.

A server keeps up with a rate if, for all of the seconds in which requests arrive,
- nine tenths of the requests due were answered within those seconds: what was answered afterwards, when nothing arrived
  any more, does not count (an answer that takes 100 ms is late for the last fortieth of four seconds), and
- no queue grew: the median latency of the later half of the answers is above that of the earlier half by at most a
  quarter of the median of all, and 5 ms.

Writes build/bench-open.json and, by the bench's own environment, docs/images/latency.png.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from bench import compare, data, field, reads
from bench.field import BARE, REFERENCE, SERVICE
from bench.linking import LogIns
from bench.measure import Sample, Worthless, sample
from bench.processes import BUILD, PYTHON, ROOT, Server

SIZE = data.Size(200_000, 200_000)
SECONDS = 4
CONNECTIONS = 128
KEPT_UP = 0.9
GROWTH, GROWTH_MS = 0.25, 5.0
RATES = {
    "Mapping status": [
        250,
        500,
        1000,
        2000,
        3000,
        4000,
        5000,
        6000,
        7000,
        8000,
        9000,
        10_000,
        12_000,
        14_000,
        16_000,
    ],
    "Log in and map": [50, 100, 200, 300, 400, 500, 600, 700, 800, 1000, 1200],
}

Requests = Callable[[float], Path]


@contextmanager
def servers(database: data.Filled) -> Iterator[dict[str, dict[str, tuple[Server, Requests]]]]:
    read = reads.request_files(database)["mapping"]
    log_ins = LogIns(database)
    with ExitStack() as stack:
        market = stack.enter_context(field.market(0.1))
        service = stack.enter_context(field.service(database, market.url))
        reference = stack.enter_context(field.contender(REFERENCE, database))
        bare = stack.enter_context(field.bare(database, market.url))
        for server in (service, reference):
            reads.await_ready(server, read)
        bare.await_answer("/healthz")
        next_file = lambda rate: log_ins.next_file(int(rate * SECONDS) + 1)  # noqa: E731
        yield {
            "Mapping status": {SERVICE: (service, lambda _: read), REFERENCE: (reference, lambda _: read)},
            "Log in and map": {SERVICE: (service, next_file), BARE: (bare, next_file)},
        }


def kept_up(one: Sample, rate: float) -> bool:
    return one.rate >= KEPT_UP * rate and one.grew <= GROWTH * one.p50 + GROWTH_MS


def rising(
    rates: list[int], contenders: Mapping[str, tuple[Server, Requests]]
) -> dict[str, dict[int, Sample]]:
    """The rates that each contender kept up with, rising until it is left behind."""
    found: dict[str, dict[int, Sample]] = {name: {} for name in contenders}
    there = dict(contenders)
    for rate in rates:
        for name, (server, requests) in list(there.items()):
            try:
                one = sample(server, requests(rate), CONNECTIONS, SECONDS, rate)
            except Worthless as why:
                compare.say(f"{name} at {rate}/s: {why}")
                del there[name]
                continue
            told = f"{one.rate:.0f}/s, p50 {one.p50:.1f} ms ({one.grew:+.1f}), p99 {one.p99:.1f} ms"
            if kept_up(one, rate):
                found[name][rate] = one
            else:
                told += ": left behind"
                del there[name]
            compare.say(f"{name} at {rate}/s: {told}")
    return found


def main() -> None:
    with data.postgres() as server, servers(data.fill(server, "open", SIZE)) as contenders:
        found = {title: rising(RATES[title], contenders[title]) for title in contenders}
    path = BUILD / "bench-open.json"
    told = {
        title: {
            name: [{"arrivals": rate, **asdict(one)} for rate, one in samples.items()]
            for name, samples in lines.items()
        }
        for title, lines in found.items()
    }
    path.write_text(json.dumps(told, indent=1))
    picture = ROOT / "docs" / "images" / "latency.png"
    subprocess.run(
        [str(PYTHON), str(ROOT / "bench" / "plot.py"), "latency", str(path), str(picture)], check=True
    )


if __name__ == "__main__":
    main()
