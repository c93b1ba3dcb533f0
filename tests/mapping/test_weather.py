"""The same walk in every weather of mbizmarket's, over real sockets: in time, never called failed, one account."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from app.mapping import settling
from app.mbiz.sandbox import Sandbox, create_sandbox
from starlette.types import Receive, Scope, Send

from tests.invariants import violations
from tests.mapping.people import Person, attempts, person, said
from tests.mapping.wires import serving
from tests.mbiz.sandbox_market import served
from tests.service import Service

pytestmark = pytest.mark.anyio

DEADLINE, SLACK = 0.8, 0.5  # seconds
SLOW = 1.5
CHECKING = (202, "checking")
AWAY, LATE, ODD = (503, "mbiz_unavailable"), (504, "mbiz_timeout"), (502, "mbiz_bad_response")


class Stage:
    """One socket for a module, since a server takes its time to end; every test puts a new mbizmarket on it."""

    market: Sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.market(scope, receive, send)


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    stage = Stage()
    with served(stage) as url:
        yield stage, url


@pytest.fixture
async def service(sqlite_url: str, tmp_path: Path, stage: tuple[Stage, str]) -> AsyncIterator[Service]:
    """The service and a sandbox, on a real socket; `slow` waits for longer than the service does."""
    credentials = {"client_id": "satu-pp", "client_secret": "client-secret"}
    stage[0].market = create_sandbox(tmp_path / "mbiz.db", **credentials, slow_seconds=SLOW)
    async with serving(sqlite_url, None, stage[1], mbiz_deadline_seconds=DEADLINE) as service:
        yield service
        assert [] == await violations(service.database, await service.truth())


class Watch:
    """Fails when a call takes more than its deadline and a little.

    A machine that is busy with something else stops the clock: what a plain sleep overslept is not the service's.
    """

    async def __aenter__(self) -> None:
        self.overslept = 0.0
        self.started = time.monotonic()
        self.metronome = asyncio.create_task(self._tick())

    async def __aexit__(self, *_: object) -> None:
        took = time.monotonic() - self.started
        self.metronome.cancel()
        assert took - self.overslept <= DEADLINE + SLACK

    async def _tick(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.overslept += max(0.0, time.monotonic() - before - 0.02)


async def arrived(service: Service) -> int:
    return len((await service.truth())["registrations"])


async def arrives(service: Service) -> None:
    """Waits for a registration that mbizmarket finishes though nobody waits for its answer any more."""
    give_up = time.monotonic() + 10
    while not await arrived(service):
        assert time.monotonic() < give_up, "it never arrived"


async def finish(service: Service, who: Person, email: str, how: str) -> None:
    """Each of the four ways in which an uncertain registration comes to its end."""
    match how:
        case "entry":
            assert "open_mbizmarket" == await who.step()
        case "settle":
            assert 1 == await settling.settle(service.context, whatever_the_backoff=True)
        case "login":
            assert (201, "mapped") == said(await who.log_in(email))
        case "register":
            assert (201, "mapped") == said(await who.register(email))


@pytest.mark.parametrize(
    ("weather", "how"),
    [
        *(("lost", how) for how in ("entry", "settle", "login", "register")),
        *(("garbled", how) for how in ("entry", "settle", "register")),  # a log in is garbled, too
        *(("slow", how) for how in ("entry", "settle", "register")),  # a log in is as slow
    ],
)
async def test_registering_in_bad_weather(service: Service, weather: str, how: str) -> None:
    """202 within the deadline; whichever way it is finished, it is mapped to the one account there is."""
    email = f"{weather}+1@baru.example"
    who = await person(service)
    async with Watch():
        assert CHECKING == said(await who.register(email))
    await arrives(service)
    async with Watch():
        await finish(service, who, email, how)
    mapping = await who.mapping()
    assert ("mapped", "register") == (mapping["status"], mapping["via"])
    assert "open_mbizmarket" == await who.step()
    assert 1 == await arrived(service)
    assert ["mapped"] == [row.state for row in await attempts(service.database)]


async def test_registering_while_mbizmarket_is_down(service: Service) -> None:
    """A 503 proves nothing: checking, and repeats too, until mbizmarket has often enough not known the reference."""
    who = await person(service)
    for _ in range(2):
        async with Watch():
            assert CHECKING == said(await who.register("down+1@baru.example"))
    for _ in range(3):
        assert "checking" == await who.status()
        await settling.settle(service.context, whatever_the_backoff=True)
    mapping = await who.mapping()
    assert ("unmapped", "never_arrived") == (mapping["status"], mapping["last_failure"]["code"])
    assert 0 == await arrived(service)
    assert (201, "mapped") == said(await who.register("baru@satker.example"))


@pytest.mark.parametrize(("weather", "refusal"), [("down", AWAY), ("slow", LATE), ("garbled", ODD)])
async def test_asking_in_bad_weather(service: Service, weather: str, refusal: tuple[int, str]) -> None:
    """Entry, log in, confirm and the look-up of one's account say what is wrong, in time, and change nothing."""
    email = f"{weather}@mbiz.example"
    who = await person(service, email=email)
    async with Watch():
        answers = await asyncio.gather(
            who.enter(),
            who.log_in(email),
            who.confirm("C-2010"),
            service.http.get("/v1/mbiz-account", headers=who.headers),
        )
    assert [refusal] * 4 == [said(answer) for answer in answers]
    assert "unmapped" == await who.status()
    assert [] == await attempts(service.database)


@pytest.mark.parametrize(
    "fault", ["sleep_before", "sleep_after", "drop_after", "drip", "garbage", "500_after"]
)
async def test_registering_with_a_fault_on_the_wire(service: Service, fault: str) -> None:
    """Whatever comes over a real socket in place of an answer: checking, in time, and then one account."""
    who = await person(service)
    await service.fault("register", fault, seconds=SLOW if fault.startswith("sleep") else 0.1)
    async with Watch():
        assert CHECKING == said(await who.register())
    await arrives(service)
    async with Watch():
        assert (201, "mapped") == said(await who.register())
    assert 1 == await arrived(service)


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [("sleep_before", LATE), ("drip", LATE), ("drop_after", AWAY), ("refuse", AWAY)],
)
async def test_logging_in_with_a_fault_on_the_wire(
    service: Service, fault: str, refusal: tuple[int, str]
) -> None:
    """One budget of time, also for an answer that drips; nothing is mapped, and trying again works."""
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    await service.fault("login", fault, seconds=SLOW if fault.startswith("sleep") else 0.1)
    async with Watch():
        assert refusal == said(await who.log_in("budi@lain.example"))
    assert "unmapped" == await who.status()
    assert (201, "mapped") == said(await who.log_in("budi@lain.example"))


async def test_registering_when_our_own_token_takes_all_the_time(service: Service) -> None:
    """Nothing was sent: 503 in time, and the satker is free."""
    who = await person(service)
    await service.fault("token", "sleep_before", seconds=SLOW)
    async with Watch():
        assert AWAY == said(await who.register())
    assert ("unmapped", 0) == (await who.status(), await arrived(service))
    assert (201, "mapped") == said(await who.register())


async def test_registering_again_while_everything_is_slow(service: Service) -> None:
    """The question by reference takes a third of the time, the repeat the rest: one budget for them all."""
    who = await person(service)
    await service.fault("register", "503_before")
    await who.register()
    await service.fault("find_registration", "sleep_before", seconds=SLOW)
    await service.fault("register", "sleep_before", seconds=SLOW)
    async with Watch():
        assert CHECKING == said(await who.register())
    assert "checking" == await who.status()
    await arrives(service)
    assert "open_mbizmarket" == await who.step()


async def test_entering_while_everything_is_slow(service: Service) -> None:
    """An uncertain registration that cannot be asked about is waited for; a mapped satker says it took too long."""
    uncertain, mapped = await person(service, 1, 0), await person(service, 1, 1)
    await uncertain.register("lost+1@baru.example")
    await service.fault("find_registration", "sleep_before", seconds=SLOW)
    async with Watch():
        assert "wait" == await uncertain.step()
    await mapped.register("baru@satker.example")
    await service.fault("session", "sleep_before", seconds=SLOW)
    async with Watch():
        assert LATE == said(await mapped.enter())
    assert ["checking", "mapped"] == [await uncertain.status(), await mapped.status()]


async def test_reading_while_nobody_answers_at_mbizmarket(sqlite_url: str) -> None:
    """A closed port: what is sent to mbizmarket is 503 at once, what is ours is read all the same."""
    async with serving(sqlite_url, None, "http://127.0.0.1:9", mbiz_deadline_seconds=DEADLINE) as service:
        who = await person(service)
        for call in (who.enter, who.register, lambda: who.log_in("budi@lain.example")):
            async with Watch():
                answer = await call()
            assert AWAY == said(answer)
            assert int(answer.headers["Retry-After"]) >= 1
        assert "mbiz_unavailable" == (await who.mapping())["last_failure"]["code"]
        listed: httpx.Response = await service.http.get("/v1/satkers", headers=who.headers)
        assert (200, 1) == (listed.status_code, listed.json()["total"])
        assert (204, "") == said(await who.unlink())
