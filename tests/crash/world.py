"""Three processes: the service, mbizmarket, and the test, which plays the portal's front end and looks into both."""

import asyncio
import contextlib
import copy
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
from app.db import AnyRow, Database
from app.models import Attempt, CatalogSatker, Klpd
from app.startup import migrate_database
from sqlalchemy import insert, select

from tests import described
from tests.canary import PASSWORD
from tests.crash import witness
from tests.crash.processes import DEADLINE, LEASE, Process, Pulse, environment, free_port
from tests.invariants import violations
from tests.postgres import Postgres
from tests.service import bearer, registration

System = Literal["sqlite", "postgresql"]
Way = Callable[[], "Answer"]
T = TypeVar("T")

SEED = int(os.environ.get("CRASH_SEED", "1"))
FULL = os.environ.get("CRASH") == "full"

SYSTEMS: tuple[System, ...] = ("sqlite", "postgresql")
SATKERS = 5000
SLACK = 0.5  # seconds that an answer may take beyond the deadline
PARTIES = 3  # processes that share each answer's work, and each may be kept waiting by a busy machine


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is None when the connection ended without one; `word` a problem's code, or the mapping's status."""

    status: int | None
    word: str
    body: Any
    seconds: float

    @property
    def said(self) -> tuple[int | None, str]:
        return self.status, self.word

    @property
    def cut(self) -> bool:
        return self.status is None


@dataclass
class Tally:
    """What was seen in the whole run."""

    cases: int = 0
    checks: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    latest: float = (
        0.0  # seconds that the slowest answer took beyond the deadline, the machine's own lateness apart
    )

    def lines(self) -> list[str]:
        said = ", ".join(f"{word} {count}" for word, count in sorted(self.answers.items()))
        return [
            f"{self.cases} cases, {self.killed} processes killed, answers: {said}",
            f"slowest answer: deadline {self.latest:+.2f} s",
            f"invariants checked {self.checks} times, violations: {len(self.broken)}",
            *self.broken,
            *self.notes,
        ]


TALLY = Tally()


class World:
    """One database, one mbizmarket, one service. `broken` holds what was noticed on the way."""

    def __init__(self, url: str, folder: Path, pulse: Pulse, postgres: Postgres | None) -> None:
        self.folder = folder
        self.postgres = postgres
        self.broken: list[str] = []
        self.timed = True  # whether answers are held to the deadline; sixteen at one moment are not
        self.troubled = 0  # faults that the running service may have met
        self.numbers = iter(range(1, SATKERS))
        port = free_port()
        self.settings = environment(url, port)
        self._pulse = pulse
        trade = ["sandbox", "--port", str(port), "--database", str(folder / "mbizmarket.db")]
        self.market = Process(folder, trade, self.settings, f"http://127.0.0.1:{port}/sandbox/truth")
        self._mbiz = _client(port)
        self._serve()
        self._runner = asyncio.Runner()
        self._database = Database(url)

    def _serve(self) -> None:
        port = free_port()
        serve = ["serve", "--port", str(port)]
        self.service = Process(self.folder, serve, self.settings, f"http://127.0.0.1:{port}/readyz")
        self._http = _client(port)

    @contextlib.contextmanager
    def replica(self) -> Iterator["World"]:
        """The same world seen through a second service on the same database."""
        other = copy.copy(self)
        other._serve()
        try:
            other.service.start()
            yield other
        finally:
            other.service.kill()
            other._http.close()

    def look(self, question: Callable[[Database], Awaitable[T]]) -> T:
        """An answer from the database itself."""

        async def ask() -> T:
            return await question(self._database)

        return self._runner.run(ask())

    def let_go(self) -> None:
        """Closes the test's own connections. Whoever reads SQLite's files beside an open one takes its locks away."""
        self._runner.run(self._database.dispose())

    def close(self) -> None:
        self.service.kill()
        self.market.kill()
        self._http.close()
        self._mbiz.close()
        self.let_go()
        self._runner.close()

    def restart(self, **settings: str) -> None:
        """kill -9, and a new start with `settings` of its own."""
        self.kill()
        self.service.start(**settings)
        self.troubled = 0

    def ensure_served(self) -> None:
        if not self.service.alive:
            self.service.start()
            self.troubled = 0

    def keep_breakers_closed(self) -> None:
        """They open after five failures in a row; a service that has met three is replaced by a new one."""
        self.troubled += 1
        if self.troubled > 3:
            self.restart()

    def kill(self) -> None:
        TALLY.killed += self.service.alive
        self.service.kill()

    def ask(
        self,
        method: str,
        path: str,
        number: int = 0,
        body: Any = None,
        *,
        prompt: bool = True,
        patience: float = 30,
    ) -> Answer:
        """As PP `number`, who leaves after `patience` seconds.

        Every answer is held against the published document and, if `prompt`, the deadline.
        """
        headers = bearer(sub=f"pp-{number}", email=email_of(number))
        began = time.monotonic()
        try:
            answer = self._http.request(method, path, json=body, headers=headers, timeout=patience)
        except httpx.TransportError:
            TALLY.answers["cut"] += 1
            return Answer(None, "", None, time.monotonic() - began)
        seconds = time.monotonic() - began
        TALLY.answers[str(answer.status_code)] += 1
        self._hold(
            answer, seconds - PARTIES * self._pulse.lateness_since(began) if prompt and self.timed else 0.0
        )
        content = answer.json() if answer.content else {}
        word = str(content.get("code") or content.get("status") or content.get("next_step") or "")
        return Answer(answer.status_code, word, content, seconds)

    def _hold(self, answer: httpx.Response, seconds: float) -> None:
        request = answer.request
        where = f"{request.method} {request.url.path}: {answer.status_code}"
        TALLY.latest = max(TALLY.latest, seconds - DEADLINE)
        if seconds > DEADLINE + SLACK:
            self.broken.append(f"I11: {where} after {seconds:.2f} s")
        if PASSWORD in answer.text:
            self.broken.append(f"I13: {where} has the password in it")
        if answer.status_code == 500:
            self.broken.append(f"I9: {where}")
        try:
            described.check(request.method, request.url.path, answer)
        except AssertionError as undescribed:
            self.broken.append(f"I9: {undescribed}")

    def trade(self, method: str, path: str, body: Any = None) -> Any:
        """Behind the scenes at mbizmarket."""
        answer = self._mbiz.request(method, f"/sandbox/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def truth(self) -> dict[str, Any]:
        found: dict[str, Any] = self.trade("GET", "truth")
        return found

    def made_for(self, email: str) -> list[Any]:
        """mbizmarket's registrations of this e-mail."""
        return [made for made in self.truth()["registrations"] if made["email"] == email]

    def fault(self, call: str, fault: str, **more: float) -> None:
        self.trade("POST", "faults", {"call": call, "fault": fault, **more})

    def calm(self) -> None:
        """mbizmarket has no more faults in store."""
        self.trade("DELETE", "faults")

    def person(self) -> "Person":
        """A new PP with a satker that nobody has touched."""
        number = next(self.numbers)
        person = self.add(number, number)
        assert person is not None, "the satker was not added"
        return person

    def add(self, number: int, place: int) -> "Person | None":
        """PP `number` with the catalog's satker `place` on their list, if the service is there to put it."""
        added = self.ask("POST", "/v1/satkers", number, {"catalog_id": catalog_id(place)})
        return Person(self, number, place, str(added.body["id"])) if added.status == 201 else None

    def settle(self, **settings: str) -> int:
        """`python -m app settle`, once; its exit status."""
        command = Process(self.folder, ["settle"], self.settings, "")
        command.launch(**settings)
        status = command.wait(60)
        assert status in (0, -signal.SIGKILL), command.log.read_text()[-2000:]
        return status

    def settle_all(self) -> None:
        """Settles until nothing is open, as the operator's timer would."""
        give_up = time.monotonic() + 60
        while self.open_attempts():
            assert time.monotonic() < give_up, f"I3: never settled: {self.open_attempts()}"
            time.sleep(LEASE / 2)
            self.settle()

    def attempts(self, *states: str) -> list[AnyRow]:
        async def read(database: Database) -> list[AnyRow]:
            columns = Attempt.__table__.columns
            async with database.reading() as db:
                return list((await db.execute(select(*columns).where(Attempt.state.in_(states)))).all())

        return self.look(read)

    def open_attempts(self) -> list[AnyRow]:
        return self.attempts("calling", "uncertain")

    def violations(self) -> list[str]:
        """What is broken now that all is settled. What was given up and turned up late is told to operators first."""
        truth = self.truth()
        made = {each["reference"] for each in truth["registrations"]}
        if made & {attempt.id for attempt in self.attempts("refused")}:
            self.settle()
        return self.broken_now(truth)

    def broken_now(self, truth: dict[str, Any] | None = None, *, settled: bool = True) -> list[str]:
        """What is broken at this moment. Before settling has come round, a row may be calling past its lease (I3)."""
        known = truth or self.truth()
        TALLY.checks += 1
        found = [
            *self.broken,
            *self.look(lambda database: violations(database, known)),
            *self.look(witness.illegal),
        ]
        broken = [each for each in found if settled or not each.startswith("I3")]
        TALLY.broken += broken
        return broken

    @contextlib.contextmanager
    def killed_after(self, seconds: float) -> Iterator[None]:
        """kill -9 from outside, at whatever moment that hits."""
        killer = threading.Timer(seconds, self.service.kill)
        killer.start()
        try:
            yield
        finally:
            killer.join()
            TALLY.killed += 1


@dataclass(frozen=True, slots=True)
class Person:
    """PP `number` with the catalog's satker `place`; `satker` is its id on their list, empty when it is not there."""

    world: World
    number: int
    place: int
    satker: str

    @property
    def email(self) -> str:
        return email_of(self.number)

    @property
    def new_email(self) -> str:
        """The one that they register with at mbizmarket."""
        return f"baru{self.number}@satker.example"

    def post(self, what: str, body: Any = None, **how: Any) -> Answer:
        return self.world.ask("POST", f"/v1/satkers/{self.satker}/{what}", self.number, body, **how)

    def register(self, **how: Any) -> Answer:
        return self.post("mapping/register", registration(self.new_email), **how)

    def log_in(self, email: str | None = None, password: str = PASSWORD) -> Answer:
        return self.post("mapping/login", {"email": email or self.email, "password": password})

    def confirm(self, company_id: str) -> Answer:
        return self.post("mapping/confirm", {"company_id": company_id})

    def unlink(self) -> Answer:
        return self.world.ask("DELETE", f"/v1/satkers/{self.satker}/mapping", self.number)

    def remove(self) -> Answer:
        return self.world.ask("DELETE", f"/v1/satkers/{self.satker}", self.number)

    def enter(self) -> Answer:
        return self.post("entry")

    def mapping(self) -> Answer:
        return self.world.ask("GET", f"/v1/satkers/{self.satker}/mapping", self.number)

    def look_up(self) -> Answer:
        """Whether their own e-mail has an account."""
        return self.world.ask("GET", "/v1/mbiz-account", self.number)

    def open_account(self, company_id: str = "") -> str:
        """Their own account at mbizmarket, with this company or else a new one; the company's id."""
        companies = [] if company_id else [{"name": f"PT {self.number}", "city": "Bandung"}]
        form = {"email": self.email, "password": PASSWORD, "name": "Nama Akun", "companies": companies}
        made = self.world.trade("POST", "accounts", form)
        if company_id:
            self.world.trade("PUT", f"accounts/{made['account_id']}/companies/{company_id}")
        return company_id or str(made["companies"][0]["company_id"])


def _client(port: int) -> httpx.Client:
    """A connection for each call: one that a killed process left behind would fail the next call."""
    once = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", limits=once, timeout=30, trust_env=False)


def email_of(number: int) -> str:
    return f"pp{number}@satker.example"


def catalog_id(place: int) -> str:
    return f"{place:032x}"


async def _fill(database: Database) -> None:
    common = {"klpd_code": "K1", "kd_satker": None, "active": True}
    rows = [
        {"id": catalog_id(n), "code": f"7{n:05}", "name": f"Satker {n}", "search": f"satker {n}", **common}
        for n in range(SATKERS)
    ]
    async with database.begin() as tx:
        await tx.execute(insert(Klpd).values(code="K1", name="KEMENTERIAN", kind=None, search="kementerian"))
        await tx.execute(insert(CatalogSatker), rows)


def prepare(url: str) -> None:
    """Tables, a catalog, and the witness."""

    async def fill() -> None:
        database = Database(url)
        try:
            await _fill(database)
            await witness.install(database)
        finally:
            await database.dispose()

    migrate_database(url)
    asyncio.run(fill())


@contextlib.contextmanager
def world_on(system: System, folder: Path) -> Iterator[World]:
    """A running world with its files in `folder`; its PostgreSQL is its own, so that it may be killed too."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Postgres()) if system == "postgresql" else None
        if server:
            server.create_database("satker")
        url = server.url("satker") if server else f"sqlite+aiosqlite:///{folder}/satker.db"
        prepare(url)
        pulse = stack.enter_context(Pulse())
        world = World(url, folder, pulse, server)
        stack.callback(world.close)
        world.market.start()
        world.service.start()
        yield world


def repeat_until_linked(way: Way, seconds: float = 30) -> Answer:
    """What an honest PP does: tries again while told to, and takes no other answer. I10: it ends mapped."""
    give_up = time.monotonic() + seconds
    while True:
        answer = way()
        if answer.status in (200, 201, 204):
            return answer
        assert answer.status in (202, 502, 503, 504) or answer.word == "link_in_progress", f"I10: {answer}"
        assert time.monotonic() < give_up, f"I10: still {answer}"
        time.sleep(0.1)


Worlds = Callable[[System], World]
