"""One server under load for some seconds, with everything that could make the figures worthless."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from bench.processes import LOAD_CORE, ROOT, Server

LUA = ROOT / "bench" / "load.lua"


class Worthless(Exception):
    """A measurement that must not count; the text says why."""


@dataclass(frozen=True)
class Sample:
    rate: float  # answers a second while it was measured
    p50: float  # milliseconds
    p95: float
    p99: float
    cpu: float  # microseconds of the server an answer
    grew: float = 0.0  # milliseconds from the earlier half's median to the later half's; wrk does not tell


def sample(
    server: Server,
    requests: Path,
    connections: int,
    seconds: float,
    rate: float | None = None,
    spread: float = 0.0,
) -> Sample:
    """As many requests as the connections carry, or `rate` a second; the first ones over the seconds of `spread`.

    Raises Worthless when an answer was not 2xx, something broke, or there were never as many connections as asked for.
    """
    command = _own_loader if rate or not which("wrk") else _wrk
    cpu = server.cpu_seconds()
    with subprocess.Popen(
        command(server, requests, connections, seconds, rate, spread),
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as load:
        there = 0
        while there < connections and load.poll() is None:
            time.sleep(seconds / 20)
            there = server.connections()
        out, _ = load.communicate(timeout=seconds * 4 + 30)
    cpu = server.cpu_seconds() - cpu
    told = json.loads(next(line[5:] for line in out.splitlines() if line.startswith("JSON ")))
    if told["not_2xx"] or told["broken"]:
        raise Worthless(f"{server.name}: {told['not_2xx']} answers were not 2xx, {told['broken']} broke")
    if there < connections:
        raise Worthless(f"{server.name}: {there} connections instead of {connections}")
    if not told["requests"]:
        raise Worthless(f"{server.name}: no answer at all")
    answered = told["requests"] / told["seconds"]
    grew = told.get("p50_later", 0.0) - told.get("p50_earlier", 0.0)
    cpu /= told.get("answers", told["requests"])
    return Sample(answered, told["p50"], told["p95"], told["p99"], cpu * 1e6, grew)


def _wrk(
    server: Server, requests: Path, connections: int, seconds: float, _rate: object, spread: float
) -> list[str]:
    return [
        *("taskset", "--cpu-list", str(LOAD_CORE), "wrk", "--threads", "1"),
        *("--connections", str(connections), "--duration", f"{max(1, round(seconds))}s", "--latency"),
        *("--timeout", "10s"),
        *("--script", str(LUA), server.url, "--", str(requests)),
        *((str(connections), str(spread)) if spread else ()),
    ]


def _own_loader(
    server: Server, requests: Path, connections: int, seconds: float, rate: float | None, spread: float
) -> list[str]:
    return [
        *("taskset", "--cpu-list", str(LOAD_CORE), sys.executable, "-m", "bench.loader"),
        *(str(server.port), str(requests), "--connections", str(connections), "--seconds", str(seconds)),
        *("--spread", str(spread)),
        *(("--rate", str(rate)) if rate else ()),
    ]
