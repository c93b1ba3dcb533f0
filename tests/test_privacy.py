"""What is kept, for how long, and how a PP gets a copy of it or is forgotten (statement 18)."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from app import invariants, privacy
from app.db import Database
from app.mapping import settling
from app.models import Attempt, History, PpSatker
from app.tables import Base
from sqlalchemy import func, select, update

from tests.admin.desk import BUDI, attempt, call, log_in, map_satker, open_registration, status
from tests.canary import PASSWORD
from tests.invariants import violations
from tests.service import Service, pp, registration

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent
EMAIL = "baru@satker.example"


def command(database_url: str, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `python -m app`."""
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        env={"PATH": os.defpath, "DATABASE_URL": database_url, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


async def age(service: Service, attempt_id: str, days: float) -> None:
    """Moves the attempt's past into a deeper one."""
    back = timedelta(days=days)
    row = await attempt(service, attempt_id)
    times = ("created_at", "mapped_at", "ended_at", "lease_until")
    older = {name: getattr(row, name) - back for name in times if getattr(row, name)}
    async with service.database.begin() as tx:
        await tx.execute(update(Attempt).where(Attempt.id == attempt_id).values(**older))


async def refuse_one(service: Service, number: int, email: str = BUDI["email"]) -> str:
    """A registration that mbizmarket refused because the e-mail is taken; the attempt's id."""
    satker = await service.add(service.catalog[number])
    body = registration(email)
    answer = await service.http.post(f"/v1/satkers/{satker}/mapping/register", json=body)
    assert answer.status_code == 409, answer.text
    async with service.database.reading() as db:
        return str(await db.scalar(select(Attempt.id).where(Attempt.satker_id == satker)))


async def dump(database: Database) -> str:
    """Everything in the database, as one text."""
    async with database.reading() as db:
        tables = [(await db.execute(select(table))).all() for table in Base.metadata.sorted_tables]
    return str(tables)


async def count(database: Database, model: type[Base]) -> int:
    async with database.reading() as db:
        return await db.scalar(select(func.count()).select_from(model)) or 0


async def test_purging(service: Service) -> None:
    """Old refused attempts go and old mappings lose their digest; what is younger, or open, stays whole."""
    await service.make_account(BUDI["email"], "PT Budi")
    old, young = await refuse_one(service, 0), await refuse_one(service, 1)
    _, opened = await open_registration(service, 2)
    satker = await service.add(service.catalog[3])
    body = registration("lain@satker.example")
    made = await service.http.post(f"/v1/satkers/{satker}/mapping/register", json=body)
    assert made.status_code == 201
    async with service.database.reading() as db:
        mapping = str(await db.scalar(select(Attempt.id).where(Attempt.satker_id == satker)))
    for attempt_id, days in ((old, 91), (young, 89), (opened, 400), (mapping, 91)):
        await age(service, attempt_id, days)
    told = await count(service.database, History)

    assert privacy.Purged(1, 1) == await privacy.purge(service.database, 90)
    assert privacy.Purged(0, 0) == await privacy.purge(service.database, 90)

    async with service.database.reading() as db:
        left = {row.id: row for row in await db.execute(select(Attempt.__table__))}
    assert {young, opened, mapping} == set(left)
    assert [True, True, False] == [left[one].email_digest is not None for one in (young, opened, mapping)]
    assert ("mapped", "Dinas Contoh") == (left[mapping].state, left[mapping].company_name)
    assert told == await count(service.database, History)
    assert "mapped" == await status(service, satker)
    assert [] == await invariants.violations(service.database)
    await settling.settle(service.context, whatever_the_backoff=True)
    assert "mapped" == (await attempt(service, opened)).state


async def test_purging_more_than_a_batch(service: Service) -> None:
    """Nothing is left over, whatever the number."""
    await service.make_account(BUDI["email"], "PT Budi")
    refused = await attempt(service, await refuse_one(service, 0))
    many = privacy.BATCH * 2 + 3
    long_ago = {
        "created_at": refused.created_at - timedelta(days=100),
        "ended_at": refused.ended_at - timedelta(days=100),
    }
    async with service.database.begin() as tx:
        rows = [{**refused._mapping, **long_ago, "id": f"old-{number}"} for number in range(many)]
        await tx.execute(Attempt.__table__.insert(), rows)  # type: ignore[attr-defined]

    assert privacy.Purged(many, 0) == await privacy.purge(service.database, 90)
    assert 1 == await count(service.database, Attempt)


async def test_purging_by_command(sqlite_service: Service, sqlite_url: str) -> None:
    """RETENTION_DAYS says how old; 90 without it."""
    await sqlite_service.make_account(BUDI["email"], "PT Budi")
    await age(sqlite_service, await refuse_one(sqlite_service, 0), 40)

    assert (0, "purged 0 refused attempts and 0 e-mail digests\n", "") == command(sqlite_url, "purge")
    assert (0, "purged 1 refused attempts and 0 e-mail digests\n", "") == command(
        sqlite_url, "purge", RETENTION_DAYS="30"
    )
    status_, out, error = command(sqlite_url, "purge", RETENTION_DAYS="0")
    assert (2, "", True) == (status_, out, error.startswith("RETENTION_DAYS: "))


async def a_life(service: Service) -> tuple[str, str, str]:
    """PP 1's satkers: one shared with PP 2, one of their own; and the shared mapping."""
    shared, mapping = await map_satker(service, 0)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    await log_in(service, theirs, headers=pp(2))
    own = await service.add(service.catalog[1])
    body = registration(EMAIL)
    assert 201 == (await service.http.post(f"/v1/satkers/{own}/mapping/register", json=body)).status_code
    await refuse_one(service, 2, EMAIL)
    return shared, theirs, mapping


async def test_exporting(service: Service, database_url: str) -> None:
    """All that is stored about the PP, and nothing about anybody else."""
    shared, theirs, mapping = await a_life(service)

    code, out, error = command(database_url, "export", "--sub", "pp-1")
    found = json.loads(out)

    assert (0, "", "pp-1") == (code, error, found["pp_id"])
    assert (3, 2, 3) == tuple(len(found[part]) for part in ("satkers", "accesses", "attempts"))
    assert shared in [satker["id"] for satker in found["satkers"]]
    async with service.database.reading() as db:
        about = await db.scalar(select(func.count()).where(History.pp_id == "pp-1"))
    assert about == len(found["history"])
    assert {"self"} == {row["actor"] for row in found["history"]}
    assert mapping in [row["id"] for row in found["attempts"]]
    assert "pp-2" not in out
    assert theirs not in out


async def test_exporting_acts_of_and_on_others(service: Service) -> None:
    """What the PP did to a colleague's access is there, and so is the reverse, without the colleague's ids."""
    account = await service.make_account(BUDI["email"], "PT Budi", "PT Baru")
    old, new = (company["company_id"] for company in account["companies"])
    mine = await service.add(service.catalog[0])
    await log_in(service, mine, company_id=old)
    theirs = await service.add(service.catalog[0], headers=pp(2))
    await log_in(service, theirs, headers=pp(2))
    await service.mbiz.post(f"/sandbox/companies/{old}", json={"status": "inactive"})
    await log_in(service, mine, company_id=new)

    exports = [await privacy.export(service.database, pp_id) for pp_id in ("pp-1", "pp-2")]

    did, suffered = (
        [(row["actor"], row["about"]) for row in found["history"] if row["event"] == "access_ended"]
        for found in exports
    )
    assert [("self", "another PP"), ("self", "self")] == sorted(did)
    assert [("another PP", "self")] == suffered
    assert "pp-2" not in str(exports[0])
    assert theirs not in str(exports[0])
    assert "pp-1" not in str(exports[1])


async def test_exporting_a_stranger(database: Database, database_url: str) -> None:
    """Of whom nothing is stored, that is the answer."""
    code, out, _ = command(database_url, "export", "--sub", "nobody é \"'")
    found = json.loads(out)

    assert (0, "nobody é \"'") == (code, found.pop("pp_id"))
    assert found.pop("exported_at") <= datetime.now(UTC).isoformat()
    assert {"satkers": [], "accesses": [], "attempts": [], "history": []} == found


async def test_forgetting(service: Service, database_url: str) -> None:
    """Nothing names the PP any more; what others need stays, and what nobody needs is free again."""
    _, theirs, mapping = await a_life(service)
    before = await privacy.export(service.database, "pp-1")
    rows = await count(service.database, History)

    code, out, error = command(database_url, "forget", "--sub", "pp-1")

    assert (0, "") == (code, error)
    assert out.startswith("forgotten: 3 satkers removed, 3 attempts and "), out
    whole = await dump(service.database)
    assert "pp-1" not in whole
    for part in before["attempts"]:
        assert part["email_digest"] is None or part["email_digest"] not in whole
    for part in before["history"]:
        assert part["request_id"] not in whole
    assert rows < await count(service.database, History)
    assert ("mapped", "mapped") == (
        await status(service, theirs, pp(2)),
        (await attempt(service, mapping)).state,
    )
    seen = (await service.http.get("/v1/history", headers=pp(2))).json()["items"]
    assert [
        ("access_ended", "operator"),
        ("access_gained", "self"),
        ("satker_added", "self"),
        ("mapped", "pp"),
    ] == [(item["event"], item["actor"]) for item in seen]
    assert [] == await violations(service.database, await service.truth())
    assert [] == await invariants.violations(service.database)

    taken = await service.add(service.catalog[1], headers=pp(3))
    body = {"email": EMAIL, "password": PASSWORD}
    answer = await service.http.post(f"/v1/satkers/{taken}/mapping/login", json=body, headers=pp(3))
    assert 201 == answer.status_code


async def test_forgetting_under_one_pseudonym(service: Service) -> None:
    """A PP's rows stay one person's, of whom nobody can say who; forgotten twice, they are two."""
    await service.make_account(BUDI["email"], "PT Budi")
    for _ in range(2):
        await log_in(service, await service.add(service.catalog[0]))
        await privacy.forget(service.database, "pp-1")

    async with service.database.reading() as db:
        names = (await db.scalars(select(History.pp_id).distinct())).all()
        attempts = (await db.scalars(select(Attempt.pp_id).distinct())).all()
        reasons = (
            await db.scalars(select(History.reason).where(History.actor == "operator").distinct())
        ).all()
    assert 2 == len(names)
    assert sorted(names) == sorted(attempts)
    assert all(name.startswith("forgotten-") for name in names)
    assert ["forget"] == reasons


async def test_forgetting_twice(service: Service) -> None:
    """The second time there is nothing to forget, as with a stranger."""
    await a_life(service)
    await privacy.forget(service.database, "pp-1")
    before = await dump(service.database)

    assert "nothing is stored about this PP" == (await privacy.forget(service.database, "pp-1")).text()
    assert before == await dump(service.database)


@pytest.mark.parametrize("state", ["uncertain", "calling"])
async def test_forgetting_while_a_registration_is_open(
    service: Service, database_url: str, state: str
) -> None:
    """Refused in one line, and nothing changes; once it is settled it goes through."""
    await map_satker(service, 0)
    _, opened = await open_registration(service, 1)
    lease = datetime.now(UTC) + timedelta(seconds=60 if state == "calling" else -1)
    async with service.database.begin() as tx:
        await tx.execute(update(Attempt).where(Attempt.id == opened).values(state=state, lease_until=lease))
    before = await dump(service.database)

    code, out, error = command(database_url, "forget", "--sub", "pp-1")

    assert (1, "", 1) == (code, out, error.count("\n"))
    assert error.startswith("a registration of this PP is open")
    assert before == await dump(service.database)
    async with service.database.begin() as tx:
        await tx.execute(update(Attempt).where(Attempt.id == opened).values(state="uncertain"))
    await settling.settle(service.context, whatever_the_backoff=True)
    assert 2 == (await privacy.forget(service.database, "pp-1")).satkers


async def test_forgetting_one_whose_registration_turns_up_late(service: Service) -> None:
    """An account that nobody knows of is still reported, under the pseudonym."""
    _, opened = await open_registration(service, 0)
    body = {"outcome": "refused", "reason": "tidak ada"}
    assert 200 == (await call(service, "POST", f"attempts/{opened}/resolve", json=body)).status_code
    await privacy.forget(service.database, "pp-1")

    await settling.settle(service.context, whatever_the_backoff=True)

    late = await attempt(service, opened)
    assert ("orphan", True) == (late.state, late.pp_id.startswith("forgotten-"))
    assert "pp-1" not in await dump(service.database)
    assert [] == await violations(service.database, await service.truth())


async def test_forgetting_while_the_pp_is_at_it(service: Service) -> None:
    """Whatever comes first: refused and nothing changed, or forgotten with nothing of the list left."""
    await service.make_account(BUDI["email"], "PT Budi")
    for turn in range(6):
        first, second = [await service.add(service.catalog[number]) for number in (0, 1)]
        results = await asyncio.gather(
            privacy.forget(service.database, "pp-1"),
            service.http.post(f"/v1/satkers/{first}/mapping/login", json=BUDI),
            service.http.post(
                f"/v1/satkers/{second}/mapping/register", json=registration(f"baru{turn}@satker.example")
            ),
            return_exceptions=True,
        )
        refused = isinstance(results[0], privacy.RegistrationOpen)
        assert refused or isinstance(results[0], privacy.Forgotten), results
        assert not [one for one in results[1:] if getattr(one, "status_code", 500) >= 500], results
        async with service.database.reading() as db:
            own = await db.scalar(select(func.count()).where(PpSatker.pp_id == "pp-1"))
        assert (2 if refused else 0) == own
        assert [] == await violations(service.database, await service.truth())
        assert [] == await invariants.violations(service.database)
        await privacy.forget(service.database, "pp-1")


async def test_forgetting_an_operator(service: Service) -> None:
    """Their acts stay with their reasons, and name them no more."""
    _, mapping = await map_satker(service, 0)
    await call(service, "DELETE", f"mappings/{mapping}", params={"reason": "salah"})

    forgotten = await privacy.forget(service.database, "operator-1")

    assert privacy.Forgotten(0, 0, 2) == forgotten
    assert "operator-1" not in await dump(service.database)
    seen = (await service.http.get("/v1/history")).json()["items"][:2]
    assert [("unmapped", "operator"), ("access_ended", "operator")] == [
        (item["event"], item["actor"]) for item in seen
    ]


async def test_coming_back(service: Service) -> None:
    """A PP who was forgotten starts anew, and sees nothing of what was."""
    await a_life(service)
    await privacy.forget(service.database, "pp-1")

    assert [] == (await service.http.get("/v1/satkers")).json()["items"]
    assert [] == (await service.http.get("/v1/history")).json()["items"]
    satker = await service.add(service.catalog[0])
    assert "mapped_by_other" == await status(service, satker)
    async with service.database.reading() as db:
        assert True is await db.scalar(select(PpSatker.is_primary).where(PpSatker.id == satker))


@pytest.mark.parametrize("name", ["forget", "check"])
async def test_a_database_without_tables(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """One line and exit status 1."""
    server: Any = request.getfixturevalue("postgres")
    server.create_database("without_tables")
    sub = ["--sub", "pp-1"] if name == "forget" else []
    try:
        for url in (f"sqlite+aiosqlite:///{tmp_path}/empty.db", server.url("without_tables")):
            code, out, error = command(url, name, *sub)
            assert (1, "", 1) == (code, out, error.count("\n")), error
            assert error.startswith("database: ")
    finally:
        server.drop_database("without_tables")
