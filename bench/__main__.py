"""make bench: this service beside others, and beside its targets, on one machine with two cores.

The short form takes a few minutes; --long adds rounds, growth up to 1,000,000 mappings, memory over an hour's requests,
and log-ins by one to 200 at a time against raw sockets.
Prints tables in Markdown, and writes build/bench.json. Exit status 1 when the machine was too restless, or
anything answered wrongly, for a result to count.
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterable

from tests.postgres import Postgres

from bench import compare, data, growth, linking, reads, start, targets
from bench.field import service
from bench.measure import Worthless
from bench.processes import BUILD, NotStarted
from bench.targets import Target

PARTS = ("reads", "linking", "start", "growth", "memory", "upstream")
SHORT_PARTS = PARTS[:4]
SHORT, LONG = (10_000, 200_000), (10_000, 100_000, 1_000_000)
MAIN = data.Size(200_000, 400_000)


class Bench:
    def __init__(self, server: Postgres, rounds: int, seconds: float, sizes: tuple[int, ...]) -> None:
        self.server = server
        self.rounds = rounds
        self.seconds = seconds
        self.sizes = sizes
        self.targets: list[Target] = []
        self.refused: dict[str, str] = {}  # parts without a result, and why
        self.written: dict[str, object] = {"machine": f"{platform.platform()}, {os.cpu_count()} cores"}
        self._main: data.Filled | None = None

    def run(self, parts: Iterable[str]) -> None:
        for part in parts:
            compare.say(part)
            try:
                getattr(self, part)()
            except Worthless as why:
                compare.say(f"no result: {why}")
                self.refused[part] = str(why)

    @property
    def main(self) -> data.Filled:
        self._main = self._main or data.fill(self.server, "main", MAIN)
        return self._main

    def _compared(
        self, title: str, entries: dict[str, compare.Entry], base: Callable[[str], str]
    ) -> compare.Outcome:
        outcome = compare.run(entries, self.rounds, self.seconds)
        self.written[title] = outcome.as_json()
        show(title, compare.table(outcome, base))
        return outcome

    def reads(self) -> None:
        with reads.entries(self.main) as entries:
            outcome = self._compared("Reads", entries, reads.base)
        self.targets += targets.of_reads(outcome)

    def linking(self) -> None:
        with linking.entries(self.main) as entries:
            outcome = self._compared("Log in and map", entries, linking.base)
        self.targets += targets.of_linking(outcome)

    def upstream(self) -> None:
        with linking.grid(self.main) as entries:
            outcome = self._compared("Log in and map, by how many at once", entries, linking.grid_base)
        show("Log in and map against raw sockets", linking.grid_table(outcome))

    def start(self) -> None:
        starts = start.measure(self.main, self.rounds)
        self.written["Start"] = {"service": starts.service, "raw": starts.raw}
        rows = [start.row("this service", starts.service), start.row("raw ASGI", starts.raw)]
        show("Start", ["| exec to first 200 | ms | |", "|---|---|---|", *rows])
        self.targets += targets.of_start(starts)

    def growth(self) -> None:
        databases = [
            data.fill(self.server, f"of_{many}", data.Size(many, growth.SPARE)) for many in self.sizes
        ]
        with growth.entries(databases) as entries:
            outcome = self._compared("Growth", entries, growth.base(self.sizes[0]))
        self.targets += targets.of_growth(outcome, self.sizes[0], self.sizes[-1])

    def memory(self) -> None:
        with service(self.main) as server:
            reads.await_ready(server, reads.request_files(self.main)["mapping"])
            found = growth.memory(server, self.main, growth.AN_HOUR, 6)
        self.written["Memory"] = found
        show("Memory", ["| requests | USS MB |", "|---|---|", *(f"| {n:,} | {mb:.1f} |" for n, mb in found)])

    def close(self) -> None:
        show("Targets", targets.table(self.targets))
        self.written["Refused"] = self.refused
        self.written["Targets"] = [
            {"what": one.what, "wanted": one.wanted, "values": one.values, "reached": one.reached}
            for one in self.targets
        ]
        path = BUILD / "bench.json"
        path.write_text(json.dumps(self.written, indent=1))
        compare.say(f"written to {path}")


def show(title: str, lines: Iterable[str]) -> None:
    sys.stdout.write("\n".join([f"\n**{title}**\n", *lines, ""]))
    sys.stdout.flush()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--long", action="store_true")
    options.add_argument("--parts", nargs="+", choices=PARTS)
    options.add_argument("--rounds", type=int)
    options.add_argument("--seconds", type=float, default=3)
    chosen = options.parse_args()
    parts = chosen.parts or (PARTS if chosen.long else SHORT_PARTS)
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("the bench needs two cores, one of them for the load")
    BUILD.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server is left behind
    compare.say("filling a catalog with a million satkers")
    with data.postgres() as server:
        rounds = chosen.rounds or (9 if chosen.long else 5)
        bench = Bench(server, rounds, chosen.seconds, LONG if chosen.long else SHORT)
        try:
            bench.run(parts)
        except NotStarted as error:
            raise SystemExit(f"no result: {error}") from None
        finally:
            bench.close()
    raise SystemExit(bool(bench.refused))


if __name__ == "__main__":
    main()
