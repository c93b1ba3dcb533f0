"""Guessing and flooding: what counts, what does not, and that many at once do not overshoot."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import httpx
import pytest
from app.budgets import Memory
from app.problems import TooManyAttempts
from app.throttle import Throttle

from tests.mapping.people import Person, attempts, close_company, person, said, told
from tests.mapping.wires import held, serving
from tests.service import Service, statements_of

pytestmark = pytest.mark.anyio

MAPPED, WRONG, THROTTLED = (201, "mapped"), (422, "invalid_credentials"), (429, "too_many_attempts")


async def asked(service: Service, call: str) -> int:
    return int((await service.truth())["requests"][call])


def wait_of(answer: httpx.Response) -> int:
    return int(answer.headers["Retry-After"])


@pytest.mark.parametrize("email", ["budi@lain.example", "tidak.ada@lain.example"])
async def test_guessing_one_password(sqlite_service: Service, email: str) -> None:
    """Five failures in a quarter of an hour, whoever fails and however the e-mail is written; known or not, alike."""
    service = sqlite_service
    await service.make_account("budi@lain.example", "PT Budi")
    people = [await person(service, n) for n in (1, 2)]
    spellings = [email, email.upper(), f" {email}", email.title(), email]
    for n, spelling in enumerate(spellings):
        assert WRONG == said(await people[n % 2].log_in(spelling, f"salah {n}"))
    for who in people:
        answer = await who.log_in(email)
        assert THROTTLED == said(answer)
        assert 890 <= wait_of(answer) <= 900
    assert 5 == await asked(service, "login")
    assert [("mapped", "invalid_credentials")] * 5 == await told(service.database)


async def test_guessing_many_passwords_as_one_pp(sqlite_service: Service) -> None:
    """Twenty failures an hour; a colleague is not locked out with them."""
    service = sqlite_service
    await service.make_account("budi@lain.example", "PT Budi")
    who, colleague = await person(service, 1), await person(service, 2)
    for n in range(20):
        assert WRONG == said(await who.log_in(f"korban{n}@lain.example", "salah"))
    answer = await who.log_in("budi@lain.example")
    assert THROTTLED == said(answer)
    assert 3500 <= wait_of(answer) <= 3600
    assert 20 == await asked(service, "login")
    assert MAPPED == said(await colleague.log_in("budi@lain.example"))


async def test_guessing_from_one_address(sqlite_service: Service) -> None:
    """Two hundred failures an hour for a whole office; nobody there gets through after that."""
    service = sqlite_service
    await service.make_account("budi@lain.example", "PT Budi")
    people = [await person(service, n) for n in range(11)]
    for n in range(200):
        assert WRONG == said(await people[n % 10].log_in(f"korban{n}@lain.example", "salah"))
    answer = await people[10].log_in("budi@lain.example")
    assert THROTTLED == said(answer)
    assert 3300 <= wait_of(answer) <= 3600
    assert 200 == await asked(service, "login")


async def test_guessing_with_fifty_at_once(database_url: str, tmp_path: Path) -> None:
    """While mbizmarket has answered none of them, five have got through to it; its own lock after ten is far."""
    wire = held(tmp_path, "/v1/login")
    async with serving(database_url, wire, mbiz_deadline_seconds=60) as service:
        await service.make_account("budi@lain.example", "PT Budi")
        who = await person(service)
        tries = [asyncio.create_task(who.log_in("budi@lain.example", f"salah {n}")) for n in range(50)]
        async with asyncio.timeout(50):
            while sum(each.done() for each in tries) + len(wire.bodies) < 50:  # noqa: ASYNC110 - neither is an event
                await asyncio.sleep(0.01)
        assert 5 == len(wire.bodies)
        wire.send.set()
        assert {WRONG: 5, THROTTLED: 45} == Counter(map(said, await asyncio.gather(*tries)))
        assert THROTTLED == said(await who.log_in("budi@lain.example"))
        assert 5 == await asked(service, "login") == len(await told(service.database))


async def test_logging_in_often(sqlite_service: Service) -> None:
    """Success costs nothing, nor does a company that cannot be had, an outage, or a lock at mbizmarket."""
    service = sqlite_service
    await service.make_account("budi@lain.example", "PT Budi", "PT Dua")
    who = await person(service)
    for _ in range(3):
        assert (409, "company_choice_required") == said(await who.log_in("budi@lain.example"))
        assert (404, "company_not_found") == said(await who.log_in("budi@lain.example", company_id="C-0"))
        await service.fault("login", "503_before")
        assert (503, "mbiz_unavailable") == said(await who.log_in("budi@lain.example"))
    for n in range(4):
        assert WRONG == said(await who.log_in("budi@lain.example", f"salah {n}"))
    for _ in range(10):
        assert (409, "company_choice_required") == said(await who.log_in("budi@lain.example"))
    assert WRONG == said(await who.log_in("budi@lain.example", "salah"))
    assert THROTTLED == said(await who.log_in("budi@lain.example"))


async def test_registering_a_taken_email_counts_as_a_failure(sqlite_service: Service) -> None:
    """Asking whether an e-mail has an account is guessing too; log in and register share the budget."""
    service = sqlite_service
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    for _ in range(3):
        assert (409, "email_taken") == said(await who.register("budi@lain.example"))
    for _ in range(2):
        assert WRONG == said(await who.log_in("Budi@lain.example", "salah"))
    assert THROTTLED == said(await who.log_in("budi@lain.example"))
    assert THROTTLED == said(await who.register("budi@lain.example"))
    assert 3 == await asked(service, "register")


async def test_repeating_a_registration_whose_email_is_taken_counts(sqlite_service: Service) -> None:
    """The password typed again is a guess like any other, so an uncertain registration is no way around."""
    service = sqlite_service
    who = await person(service)
    await service.fault("register", "503_before")
    await who.register("budi@lain.example")
    await service.make_account("budi@lain.example", "PT Budi", password="Kata-Sandi-Budi")
    for n in range(5):
        refused = await who.register("budi@lain.example", password=f"tebakan {n}")
        assert (409, "email_taken") == said(refused)
    assert THROTTLED == said(await who.register("budi@lain.example", password="Kata-Sandi-Budi"))
    assert (5, 6) == (await asked(service, "login"), await asked(service, "register"))
    assert "checking" == await who.status()


async def test_registering_all_day(sqlite_service: Service) -> None:
    """Twenty a day that were sent; what was not sent, and a repeat, are none of them."""
    service = sqlite_service
    who = await person(service)
    for n in range(20):
        await service.fault("register", "refuse")
        assert (503, "mbiz_unavailable") == said(await who.register(f"{n}@baru.example"))
        assert MAPPED == said(await who.register(f"{n}@baru.example"))
        assert (200, "mapped") == said(await who.register(f"{n}@baru.example"))
        await who.unlink()
    answer = await who.register("satu.lagi@baru.example")
    assert THROTTLED == said(answer)
    assert 86_000 <= wait_of(answer) <= 86_400
    assert MAPPED == said(await (await person(service, 2)).register("satu.lagi@baru.example"))


async def test_being_throttled_leaves_nothing_behind(service: Service) -> None:
    """No attempt, no row, no last failure, and a mapping that was to be replaced stays."""
    account = await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    await who.log_in("budi@lain.example")
    await close_company(service, account["companies"][0]["company_id"])
    for n in range(5):
        assert WRONG == said(await who.log_in("baru@lain.example", f"salah {n}"))
    before = (await attempts(service.database), await told(service.database), await who.mapping())
    assert THROTTLED == said(await who.register("baru@lain.example"))
    assert THROTTLED == said(await who.log_in("baru@lain.example"))
    assert before == (await attempts(service.database), await told(service.database), await who.mapping())
    assert 0 == await asked(service, "register")


async def test_registering_at_once_where_the_budget_is_nearly_spent(service: Service) -> None:
    """A double click is one try: the last place is enough for all sixteen."""
    await service.make_account("ada@lain.example", "PT Ada")
    who = await person(service)
    for n in range(4):
        assert WRONG == said(await who.log_in("baru@lain.example", f"salah {n}"))
    answers = await asyncio.gather(*(who.register("baru@lain.example") for _ in range(16)))
    assert {(201, "mapped"), (200, "mapped"), (202, "checking")} >= set(map(said, answers))


async def cost(
    service: Service, statements: list[str], who: Person, email: str
) -> tuple[list[str], dict[str, int], str]:
    """The statements, the calls to mbizmarket and the answer of one log in with a wrong password."""
    before = Counter((await service.truth())["requests"])
    sent = len(statements)
    answer = await who.log_in(email, "salah")
    await asyncio.sleep(0)  # the driver tells of the last one a moment later
    calls = Counter((await service.truth())["requests"]) - before
    problem = answer.json() | {"request_id": None}
    return statements[sent:], dict(calls), f"{answer.status_code} {sorted(problem.items())}"


async def test_telling_a_known_email_from_an_unknown_one(service: Service) -> None:
    """A wrong password and a wrong e-mail cost the same statements and calls, and are one answer."""
    await service.make_account("budi@lain.example", "PT Budi", "PT Dua")
    who, joining = await person(service, 1), await person(service, 2)
    statements = statements_of(service)
    await who.log_in("pemanasan@lain.example", "salah")
    await asyncio.sleep(0)
    for each in (who, joining):
        known = await cost(service, statements, each, "budi@lain.example")
        unknown = await cost(service, statements, each, "tidak.ada@lain.example")
        assert known == unknown
        assert ({"login": 1}, True) == (known[1], len(known[0]) > 0)


async def test_a_window_that_ends_while_a_try_is_under_way() -> None:
    """The place that is given back was in the old window: the new one starts with five, not with six."""
    now = 100.0
    throttle = Throttle(Memory(lambda: now))
    async with throttle.failures("digest", "pp-1", "127.0.0.1"):
        now += 3600
    for _ in range(5):
        async with throttle.failures("digest", "pp-1", "127.0.0.1") as slot:
            slot.count()
    with pytest.raises(TooManyAttempts):
        async with throttle.failures("digest", "pp-1", "127.0.0.1"):
            pytest.fail("the sixth got in")


async def test_windows_that_end() -> None:
    """A window ends its seconds after its first count; the next begins with nothing, and nothing is kept of the old."""
    now = 100.0
    storage = Memory(lambda: now)
    assert (1, 1, 2) == (
        await storage.incr("a", 10),
        await storage.incr("b", 20),
        await storage.incr("a", 10),
    )
    now = 109.0
    assert (3, 110.0) == (await storage.incr("a", 10), await storage.get_expiry("a"))
    now = 110.0
    assert (0, 1, 110.0) == (await storage.get("a"), await storage.get("b"), await storage.get_expiry("a"))
    assert (1, 120.0) == (await storage.incr("a", 10), await storage.get_expiry("a"))
    now = 120.0
    assert (0, 0, {}) == (await storage.get("a"), await storage.get("b"), storage._counts)


async def test_tries_that_end_in_any_order() -> None:
    """However tries come and go, no more than five places are ever held, and only failures keep theirs."""
    throttle, rng = Throttle(), random.Random(20)
    held = failed = most = tries = 0

    async def attempt() -> None:
        nonlocal held, failed, most, tries
        await asyncio.sleep(rng.random() / 50)
        try:
            async with throttle.failures("digest", f"pp-{rng.random()}", "127.0.0.1") as slot:
                held += 1
                tries += 1
                fails = tries % 4 == 0
                most = max(most, held + failed)
                await asyncio.sleep(rng.random() / 50)
                held -= 1
                if fails:
                    slot.count()
                    failed += 1
        except TooManyAttempts:
            pass

    await asyncio.gather(*(attempt() for _ in range(300)))
    assert tries >= 5
    assert failed == min(5, tries // 4)
    assert most <= 5
