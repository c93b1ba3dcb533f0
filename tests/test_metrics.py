"""What /metrics tells: each number after the deed that it counts, with one process and with two workers."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from app.figures import Observatory
from app.mapping.settling import keep_settling
from app.models import Attempt
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, text, update

from tests.admin.desk import BUDI, log_in, map_satker, open_registration
from tests.canary import PASSWORD
from tests.postgres import Postgres
from tests.service import Service, bearer, pp, running
from tests.test_logs import Running, await_answer, environment, free_port

Labels = tuple[tuple[str, str], ...]


class Told(dict[tuple[str, Labels], float]):
    """The samples of a text of metrics: `told("name", label="value")`, 0 for what is not there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self[sample.name, tuple(sorted(sample.labels.items()))] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        return self.get((f"satu_pp_{name}", tuple(sorted(labels.items()))), 0)


async def told(service: Service) -> Told:
    answer = await service.http.get("/metrics", headers={"Authorization": ""})
    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (
        answer.status_code,
        answer.headers["Content-Type"],
    )
    return Told(answer.text)


def keep_nothing(service: Service) -> None:
    """From one look to the next."""
    service.app.state.observatory = Observatory(service.context, kept=0)


@pytest.mark.anyio
async def test_counting_requests(sqlite_service: Service) -> None:
    """By method, route template and status; whatever a caller makes up is one label."""
    http = sqlite_service.http
    for _ in range(3):
        await http.get("/v1/satkers?q=x")
    await http.get("/v1/satkers/x")
    await http.get("/v1/satkers/y/mapping")
    for path in ("/v1/a", "/v1/b"):
        await http.get(path)
    for method in ("BREW", "WHEN"):
        await http.request(method, "/v1/satkers")
    await http.get("/v1/satkers", headers={"Authorization": "Bearer x"})

    seen = await told(sqlite_service)

    def requests(method: str, route: str, status: int) -> float:
        return seen("request_seconds_count", method=method, route=route, status=str(status))

    assert (3, 1, 1) == (
        requests("GET", "/v1/satkers", 200),
        requests("GET", "/v1/satkers/{satker_id}", 404),
        requests("GET", "/v1/satkers/{satker_id}/mapping", 404),
    )
    assert (2, 1, 2) == (
        requests("GET", "none", 404),
        requests("GET", "none", 401),
        requests("other", "/v1/satkers", 405),
    )
    assert 3 == seen("request_seconds_bucket", method="GET", route="/v1/satkers", status="200", le="+Inf")
    assert 0 < seen("request_seconds_sum", method="GET", route="/v1/satkers", status="200") < 60
    codes = ("satker_not_found", "not_found", "method_not_allowed", "unauthenticated")
    assert [2, 2, 2, 1] == [seen("problems_total", code=code) for code in codes]


@pytest.mark.anyio
async def test_counting_calls_to_mbizmarket(sqlite_service: Service) -> None:
    """By kind and outcome, our own token among them; and the state of each breaker."""
    satker_id, _ = await map_satker(sqlite_service, 0)
    second = await sqlite_service.add(sqlite_service.catalog[1])
    path = f"/v1/satkers/{second}/mapping/login"
    await sqlite_service.http.post(path, json=BUDI | {"password": "salah"})
    await sqlite_service.fault("login", "503_before", times=5)
    for number in range(6):  # the sixth is not sent: five in a row have opened the breaker
        await sqlite_service.http.post(path, json={"email": f"a{number}@b.example", "password": PASSWORD})
    await sqlite_service.http.post(f"/v1/satkers/{satker_id}/entry")

    seen = await told(sqlite_service)

    def calls(kind: str, outcome: str) -> float:
        return seen("mbiz_call_seconds_count", kind=kind, outcome=outcome)

    assert (1, 1, 5, 1) == (
        calls("login", "ok"),
        calls("login", "invalid_credentials"),
        calls("login", "unavailable"),
        calls("login", "not_sent"),
    )
    assert (1, 1) == (calls("token", "ok"), calls("session", "ok"))
    assert (1, 0, 1, 0) == (
        seen("mbiz_breakers", kind="login", state="open"),
        seen("mbiz_breakers", kind="login", state="closed"),
        seen("mbiz_breakers", kind="lookup", state="closed"),
        seen("mbiz_in_flight", kind="login"),
    )


@pytest.mark.anyio
async def test_looking_at_registrations(service: Service) -> None:
    """Attempts by state, the oldest whose outcome is unknown, those overdue, mappings and accesses."""
    keep_nothing(service)
    before = await told(service)
    assert (0, 0) == (before("attempts", state="mapped"), before("uncertain_oldest_seconds"))
    await map_satker(service, 0)
    await log_in(service, await service.add(service.catalog[0], headers=pp(2)), headers=pp(2))
    _, opened = await open_registration(service, 1)
    hours = datetime.now(UTC) - timedelta(hours=2)
    async with service.database.begin() as tx:
        await tx.execute(update(Attempt).where(Attempt.id == opened).values(created_at=hours))

    seen = await told(service)

    assert (1, 1, 2, 1) == (
        seen("attempts", state="mapped"),
        seen("mappings"),
        seen("accesses"),
        seen("attempts", state="uncertain"),
    )
    assert (1, 1) == (seen("overdue"), seen("database_up"))
    assert 7200 <= seen("uncertain_oldest_seconds") < 7300
    assert ("satu_pp_attempts", (("state", "orphan"),)) in seen


@pytest.mark.anyio
async def test_counting_what_is_throttled(sqlite_url: str, tmp_path: Path) -> None:
    """By the budget that was spent; nothing is written for it anywhere else."""
    async with running(sqlite_url, tmp_path, calls_per_minute=40) as service:
        wrong = {"email": "x@y.example", "password": PASSWORD}
        await asyncio.sleep(max(0, 3 - (60 - time.time() % 60)))  # not across the turn of a minute
        for _ in range(6):
            await service.http.post("/v1/satkers/none/mapping/login", json=wrong)
        for number in range(42):
            await service.http.get("/v1/satkers", headers=pp(2 + number % 2))
        for _ in range(40):
            await service.http.get("/v1/satkers", headers=pp(2))
        seen = await told(service)

    assert (2, 21) == (seen("throttled_total", budget="mbizmarket"), seen("throttled_total", budget="calls"))
    assert 23 == seen("problems_total", code="rate_limited")


@pytest.mark.anyio
async def test_counting_failed_log_ins_that_are_throttled(sqlite_service: Service) -> None:
    """The sixth wrong password for an e-mail is refused here, and counted."""
    satker_id = await sqlite_service.add(sqlite_service.catalog[0])
    for _ in range(7):
        await sqlite_service.http.post(
            f"/v1/satkers/{satker_id}/mapping/login", json={"email": "x@y.example", "password": PASSWORD}
        )
    assert 2 == (await told(sqlite_service))("throttled_total", budget="failed-email")


@pytest.mark.anyio
async def test_counting_rounds_of_settling(sqlite_service: Service) -> None:
    """And how many registrations they have asked about; a round that fails is no end of settling."""
    await open_registration(sqlite_service, 0)
    settling = asyncio.create_task(keep_settling(sqlite_service.context, 0.01))
    give_up = time.monotonic() + 20
    while (await told(sqlite_service))("settle_runs_total", outcome="ok") < 3:
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)
    settling.cancel()
    with suppress(asyncio.CancelledError):
        await settling

    assert 1 == (await told(sqlite_service))("settle_asked_total")


@pytest.mark.anyio
async def test_settling_while_rounds_fail(postgres: Postgres, tmp_path: Path) -> None:
    """Whatever is wrong with one, the next one comes: here a column that somebody took away, and put back."""
    name = "metrics_failing"
    postgres.create_database(name, template="template_satker")
    async with running(postgres.url(name), tmp_path) as service:
        settling = asyncio.create_task(keep_settling(service.context, 0.01))
        for before, after, outcome in (("asks", "gone", "failed"), ("gone", "asks", "ok")):
            async with service.database.begin() as tx:
                await tx.execute(text(f"ALTER TABLE attempt RENAME COLUMN {before} TO {after}"))
            seen = (await told(service))("settle_runs_total", outcome=outcome)
            give_up = time.monotonic() + 60
            while (await told(service))("settle_runs_total", outcome=outcome) <= seen:
                assert time.monotonic() < give_up
                await asyncio.sleep(0.02)
        settling.cancel()
        with suppress(asyncio.CancelledError):
            await settling
    postgres.drop_database(name)


@pytest.mark.anyio
async def test_looking_while_the_database_is_away(postgres: Postgres, tmp_path: Path) -> None:
    """That is told, and the rest goes on; what only the database knows is left out."""
    name = "metrics_away"
    postgres.create_database(name, template="template_satker")
    async with running(postgres.url(name), tmp_path) as service:
        keep_nothing(service)
        there = await told(service)
        assert (1, 16) == (there("database_up"), there("database_connections", state="most"))
        await service.database.dispose()
        postgres.drop_database(name)

        away = await told(service)

    assert (0, 1) == (
        away("database_up"),
        away("request_seconds_count", method="GET", route="/metrics", status="200"),
    )
    assert not [key for key in away if key[0] in ("satu_pp_attempts", "satu_pp_mappings")]


@pytest.mark.anyio
async def test_looking_often(sqlite_service: Service) -> None:
    """The database is asked once in a while, however many look."""
    asked: list[str] = []
    engine = sqlite_service.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *call: asked.append(call[2]))
    await asyncio.gather(*(told(sqlite_service) for _ in range(10)))
    once = len(asked)
    await told(sqlite_service)

    assert 0 < once == len(asked) <= 5


# With processes


@pytest.fixture
def workers(sqlite_url: str, tmp_path: Path) -> Iterator[tuple[Running, str]]:
    """Two workers on a port, their metrics on another; and the folder that they count in."""
    port = free_port()
    service = Running(
        sqlite_url,
        tmp_path,
        *("--workers", "2", "--no-settle"),
        METRICS_PORT=str(port),
        APP_ENV="development",
        TMPDIR=str(tmp_path),
    )
    try:
        service.await_ready()
        yield service, f"http://127.0.0.1:{port}/metrics"
    finally:
        service.stop()


def look(url: str) -> Told:
    answer = httpx.get(url, trust_env=False, timeout=60)
    assert answer.status_code == 200
    return Told(answer.text)


def listed(seen: Told) -> float:
    return seen("request_seconds_count", method="GET", route="/v1/satkers", status="200")


def closed(seen: Told) -> float:
    return seen("mbiz_breakers", kind="login", state="closed")


def until(true: object, url: str, expected: float) -> None:
    give_up = time.monotonic() + 60
    while expected != true(look(url)):  # type: ignore[operator]
        assert time.monotonic() < give_up, look(url)
        time.sleep(0.1)


def pids(folder: Path) -> set[int]:
    return {int(file.stem.rpartition("_")[2]) for file in folder.glob("satu-pp-metrics-*/gauge_*.db")}


def test_counting_with_two_workers(workers: tuple[Running, str], tmp_path: Path) -> None:
    """Whichever is asked answers for both; what a killed one has counted stays, what it had open does not.

    Their API has no /metrics then, and the folder goes with them.
    """
    service, url = workers
    until(closed, url, 2)
    with httpx.Client(trust_env=False, timeout=60) as http:
        for _ in range(30):  # a connection each, so that both workers get some
            assert (
                200
                == httpx.get(
                    f"{service.url}/v1/satkers", headers=bearer(), trust_env=False, timeout=60
                ).status_code
            )
        assert (404, "not_found") == (
            (answer := http.get(f"{service.url}/metrics")).status_code,
            answer.json()["code"],
        )
    assert [30] * 8 == [listed(look(url)) for _ in range(8)]
    assert 404 == httpx.get(url.replace("metrics", "v1/satkers"), trust_env=False, timeout=60).status_code

    killed = min(pids(tmp_path))
    os.kill(killed, signal.SIGKILL)
    until(lambda seen: len(pids(tmp_path) - {killed}), url, 2)  # another has taken its place
    until(closed, url, 2)
    assert 30 == listed(look(url))

    assert service.stop() in (0, -signal.SIGTERM)
    assert [] == list(tmp_path.glob("satu-pp-metrics-*"))


def test_starting_after_a_kill(workers: tuple[Running, str], sqlite_url: str, tmp_path: Path) -> None:
    """The folder that a killed service left behind is removed by the next one; one in use is not."""
    running_now = set(tmp_path.glob("satu-pp-metrics-*"))
    assert 1 == len(running_now)
    left = tmp_path / "satu-pp-metrics-left"
    left.mkdir()
    (left / "lock").touch()
    (left / "counter_1.db").write_bytes(bytes(100))
    (tmp_path / "second").mkdir()
    second = Running(
        sqlite_url,
        tmp_path / "second",
        *("--workers", "2", "--no-settle"),
        APP_ENV="development",
        TMPDIR=str(tmp_path),
    )
    try:
        second.await_ready()
        now = set(tmp_path.glob("satu-pp-metrics-*"))
        assert (True, 2) == (running_now < now, len(now))
        # Without a port of their own they are on the API's.
        assert 200 == httpx.get(f"{second.url}/metrics", trust_env=False, timeout=60).status_code
    finally:
        second.stop()


def test_one_worker_keeps_no_folder(sqlite_url: str, tmp_path: Path) -> None:
    """It counts in memory; and its lines are still one a request."""
    port = free_port()
    service = Running(sqlite_url, tmp_path, METRICS_PORT=str(port), TMPDIR=str(tmp_path))
    try:
        service.await_ready()
        assert 1 == closed(look(f"http://127.0.0.1:{port}/metrics"))
        assert [] == list(tmp_path.glob("satu-pp-metrics-*"))
    finally:
        service.stop()
    assert {"/healthz"} == {json.loads(line)["route"] for line in service.out.read_text().splitlines()}


@contextmanager
def settling(sqlite_url: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """`settle --every` as a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "app", "settle", "--every", "1"],
        env=environment(sqlite_url) | settings,
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_looking_at_a_process_that_settles(sqlite_url: str) -> None:
    """Its rounds, on METRICS_PORT. What the database knows is the replicas' to tell, and missed when all are gone."""
    port = free_port()
    with settling(sqlite_url, METRICS_PORT=str(port)) as process:
        url = f"http://127.0.0.1:{port}/metrics"
        await_answer(url, process)
        give_up = time.monotonic() + 60
        while 0 == look(url)("settle_runs_total", outcome="ok"):
            assert time.monotonic() < give_up
            time.sleep(0.1)
        seen = look(url)
        process.terminate()
        assert 0 == process.wait(20)
    assert 1 == seen("mbiz_breakers", kind="lookup", state="closed")
    assert not [key for key in seen if key[0] in ("satu_pp_database_up", "satu_pp_attempts")]


def test_settling_with_the_metrics_port_of_another(sqlite_url: str, tmp_path: Path) -> None:
    """One line and exit status 2: of two on one port nobody could tell who answers."""
    port = str(free_port())
    service = Running(sqlite_url, tmp_path, METRICS_PORT=port)
    try:
        service.await_ready()
        with settling(sqlite_url, METRICS_PORT=port) as second:
            assert 2 == second.wait(60)
            assert second.stderr
            assert f"METRICS_PORT: {port} on 127.0.0.1: Address already in use\n" == second.stderr.read()
    finally:
        service.stop()
