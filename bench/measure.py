"""One contender under wrk for some seconds, with everything that could make the figures worthless."""

import json
import subprocess
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
    rate: float  # answers a second
    p50: float  # milliseconds
    p99: float
    cpu: float  # microseconds of the server an answer


def has_wrk() -> bool:
    return which("wrk") is not None


def sample(server: Server, requests: Path, connections: int, seconds: float) -> Sample:
    """Raises Worthless when an answer was not 2xx, something broke, or connections were missing half way."""
    cpu = server.cpu_seconds()
    with subprocess.Popen(
        _command(server, requests, connections, seconds), stdout=subprocess.PIPE, text=True
    ) as wrk:
        time.sleep(seconds / 2)
        there = server.connections()
        out, _ = wrk.communicate(timeout=seconds * 4 + 20)
    cpu = server.cpu_seconds() - cpu
    told = json.loads(next(line[5:] for line in out.splitlines() if line.startswith("JSON ")))
    if told["not_2xx"] or told["broken"]:
        raise Worthless(f"{server.name}: {told['not_2xx']} answers were not 2xx, {told['broken']} broke")
    if there != connections:
        raise Worthless(f"{server.name}: {there} connections instead of {connections}")
    if not told["requests"]:
        raise Worthless(f"{server.name}: no answer at all")
    return Sample(told["requests"] / told["seconds"], told["p50"], told["p99"], cpu / told["requests"] * 1e6)


def _command(server: Server, requests: Path, connections: int, seconds: float) -> list[str]:
    return [
        *("taskset", "--cpu-list", str(LOAD_CORE), "wrk", "--threads", "1"),
        *("--connections", str(connections), "--duration", f"{max(1, round(seconds))}s", "--latency"),
        *("--script", str(LUA), server.url, "--", str(requests)),
    ]
