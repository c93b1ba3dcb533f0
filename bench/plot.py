"""Pictures of what open_loop.py and profiles.py found; run by the bench's own environment, which has matplotlib.

plot.py latency JSON PNG · plot.py profile RAW:MICROSECONDS… PNG
"""

import json
import sys
from collections import Counter
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = ("#0b6e4f", "#c1440e")
# Parts of a frame's file that tell whose it is; the first that fits. Frames of none count for who called them.
OWNERS = {
    "app/logs.py": "our log line",
    "structlog": "our log line",
    "app/edge.py": "our edge and gate",
    "app/auth.py": "our edge and gate",
    "app/budgets.py": "our edge and gate",
    "app/mbiz": "our adapter to mbizmarket",
    "app/": "our routes and use cases",
    "asyncpg": "asyncpg",
    "sqlalchemy": "SQLAlchemy",
    "uvicorn": "uvicorn",
    "fastapi": "FastAPI",
    "starlette": "Starlette",
    "pydantic": "pydantic",
    "httpx": "httpx",
}


def latency(source: Path, target: Path) -> None:
    """A panel a kind of call: median and 99th percentile against the rate that arrived and was kept up with."""
    found = json.loads(source.read_text())
    figure, panels = plt.subplots(1, len(found), figsize=(11, 4.2))
    for panel, (title, lines) in zip(panels, found.items(), strict=True):
        for (name, samples), colour in zip(lines.items(), COLOURS, strict=False):
            rates = [one["arrivals"] for one in samples]
            panel.plot(rates, [one["p99"] for one in samples], color=colour, marker="o", label=f"{name}, p99")
            panel.plot(
                rates, [one["p50"] for one in samples], color=colour, linestyle=":", label=f"{name}, p50"
            )
        panel.set(title=title, xlabel="arrivals a second", yscale="log")
        panel.set_ylabel("milliseconds from when it was due")
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(target, dpi=110)


def owner(stack: list[str]) -> str:
    for frame in reversed(stack):
        for part, name in OWNERS.items():
            if part in frame:
                return name
    return "the loop and the kernel"


def shares(raw: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        counts[owner(stack.split(";"))] += int(count)
    return counts


def profile(sources: list[str], target: Path) -> None:
    """A panel a kind of call, whose bars add up to what a request of it takes."""
    figure, panels = plt.subplots(1, len(sources), figsize=(15, 3.8))
    for panel, source in zip(panels, sources, strict=True):
        path, microseconds = source.rsplit(":", 1)
        found = shares(Path(path))
        part = float(microseconds) / sum(found.values())
        names, counts = zip(*reversed(found.most_common()), strict=True)
        panel.barh(names, [count * part for count in counts], color=COLOURS[0])
        name = Path(path).stem.removeprefix("bench-profile-").replace("-", " ")
        panel.set(title=f"{name}: {microseconds} µs", xlabel="µs of CPU a request")
    figure.tight_layout()
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    kind, *sources, target = sys.argv[1:]
    latency(Path(sources[0]), Path(target)) if kind == "latency" else profile(sources, Path(target))
