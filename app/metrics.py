"""What the service counts about itself, for Prometheus. The only user of prometheus-client.

With several workers each counts in files of a folder that they share (PROMETHEUS_MULTIPROC_DIR, set by
app/serving.py), and whichever is asked answers for all; with one, in memory.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from app.mbiz.breaker import Breaker, Kind
from app.mbiz.errors import MbizError
from app.mbiz.wire import Call

CONTENT_TYPE = prometheus.CONTENT_TYPE_PLAIN_0_0_4
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# A name's labels with their value, as it is read when somebody asks.
Figures = Mapping[str, Mapping[tuple[str, ...], float]]
FIGURES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "satu_pp_database_up": ("Whether the database answered: 1 or 0", ()),
    "satu_pp_attempts": ("Registrations and mappings by state", ("state",)),
    "satu_pp_mappings": ("Satkers that have a company", ()),
    "satu_pp_accesses": ("Accesses of PPs to mappings", ()),
    "satu_pp_uncertain_oldest_seconds": (
        "Age of the oldest registration whose outcome is unknown; 0: none",
        (),
    ),
    "satu_pp_overdue": ("Registrations that are open for longer than UNCERTAIN_ALERT_SECONDS", ()),
}


class Metrics:
    def __init__(self) -> None:
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.shared = os.environ.get(SHARED_FOLDER)
        self._registry = made = prometheus.CollectorRegistry()
        self._observers: dict[tuple[str, str | None, int], Callable[[float], None]] = {}
        about = "Requests by route template and status, and how long they took"
        self._requests = _timer(made, "satu_pp_request_seconds", about, "method", "route", "status")
        about = "Answers that were a no, by the problem's code"
        self._problems = _counter(made, "satu_pp_problems", about, "code")
        about = "Calls refused because a budget was spent"
        self._throttled = _counter(made, "satu_pp_throttled", about, "budget")
        about = "Calls to mbizmarket by kind and outcome, and how long they took"
        self._calls = _timer(made, "satu_pp_mbiz_call_seconds", about, "kind", "outcome")
        self._settled = _counter(made, "satu_pp_settle_runs", "Rounds of settling", "outcome")
        self._asked = _counter(made, "satu_pp_settle_asked", "Registrations that settling has asked about")
        about = "Processes whose breaker for this kind of call is in this state"
        self._breakers = _gauge(made, "satu_pp_mbiz_breakers", about, "kind", "state")
        self._in_flight = _gauge(made, "satu_pp_mbiz_in_flight", "Calls to mbizmarket under way", "kind")
        about = "Connections of the pools: in_use, idle, and most, as many as there may be"
        self._connections = _gauge(made, "satu_pp_database_connections", about, "state")

    # What happens

    def request(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """One answer; status 0 stands for none. The observers are kept: to look one up by its labels costs more."""
        if method not in METHODS:
            method = "other"
        observe = self._observers.get((method, route, status))
        if observe is None:
            observe = self._requests.labels(method, route or "none", str(status)).observe
            self._observers[method, route, status] = observe
        observe(seconds)

    def problem(self, code: str) -> None:
        self._problems.labels(code).inc()

    def throttled(self, budget: str) -> None:
        self._throttled.labels(budget).inc()

    def settled(self, outcome: str, asked: int = 0) -> None:
        self._settled.labels(outcome).inc()
        self._asked.inc(asked)

    @contextmanager
    def watch(self, kind: str, call: Call) -> Iterator[Call]:
        began, outcome = time.monotonic(), "cut"
        try:
            yield call
            outcome = "ok"
        except MbizError as error:
            outcome = error.outcome
            raise
        finally:
            self._calls.labels(kind, outcome).observe(time.monotonic() - began)

    # What is so now

    def breakers(self, breakers: Mapping[Kind, Breaker]) -> None:
        for kind, breaker in breakers.items():
            for state in ("closed", "half_open", "open"):
                self._breakers.labels(kind, state).set(breaker.state == state)
            self._in_flight.labels(kind).set(breaker.in_flight)

    def connections(self, counts: Mapping[str, int]) -> None:
        for state, count in counts.items():
            self._connections.labels(state).set(count)

    def text(self, figures: Figures) -> bytes:
        """Everything, as Prometheus reads it, with `figures` by the names of FIGURES."""
        registry = self._registry
        if self.shared:
            registry = prometheus.CollectorRegistry()
            _forget_the_dead(Path(self.shared))
            MultiProcessCollector(registry, path=self.shared)  # type: ignore[no-untyped-call]
        own = prometheus.CollectorRegistry()
        own.register(_Given(figures))
        return prometheus.generate_latest(registry) + prometheus.generate_latest(own)


class _Given(prometheus.registry.Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[GaugeMetricFamily]:
        for name, values in self._figures.items():
            about, labels = FIGURES[name]
            family = GaugeMetricFamily(name, about, labels=labels)
            for of, value in values.items():
                family.add_metric(of, value)
            yield family


def _counter(
    registry: prometheus.CollectorRegistry, name: str, about: str, *labels: str
) -> prometheus.Counter:
    return prometheus.Counter(name, about, labels, registry=registry)


def _timer(
    registry: prometheus.CollectorRegistry, name: str, about: str, *labels: str
) -> prometheus.Histogram:
    return prometheus.Histogram(name, about, labels, buckets=SECONDS, registry=registry)


def _gauge(registry: prometheus.CollectorRegistry, name: str, about: str, *labels: str) -> prometheus.Gauge:
    """A gauge of each process; of several that are alive the sum."""
    return prometheus.Gauge(name, about, labels, registry=registry, multiprocess_mode="livesum")


def _forget_the_dead(folder: Path) -> None:
    """What a worker that has ended had open is open no more; what it has counted stays counted."""
    for file in folder.glob("gauge_live*_*.db"):
        with suppress(FileNotFoundError):  # another worker does the same
            if not _alive(int(file.stem.rpartition("_")[2])):
                file.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
