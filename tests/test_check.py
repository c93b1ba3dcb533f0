"""python -m app check: each promise is held to, on a database that somebody has meddled with."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from app import invariants
from sqlalchemy import Connection, text

from tests.admin.desk import call, log_in, map_satker, open_registration
from tests.service import Service, pp, registration

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent

MAPPED, OPENED = "state = 'mapped' AND via = 'login'", "state = 'uncertain'"

# What was done behind the service's back, and what is found of it.
# ruff: noqa: S608 - nobody's input
MEDDLING: dict[str, tuple[Sequence[str], set[str]]] = {
    "an access dropped": (
        ["DELETE FROM access WHERE via = 'login'"],
        {"I4: mappings to which nobody has access"},
    ),
    "a mapping closed": (
        [f"UPDATE attempt SET state = 'removed', ended_at = created_at WHERE {MAPPED}"],
        {
            "I4: mappings whose end and the history do not agree",
            "I4: satkers with access to what is not the mapping of that satker",
        },
    ),
    "a mapping moved": (
        [f"UPDATE attempt SET catalog_id = '{9:032x}' WHERE {MAPPED}"],
        {"I4: satkers with access to what is not the mapping of that satker"},
    ),
    "an access given away": (
        ["UPDATE access SET pp_id = 'pp-9' WHERE via = 'login'"],
        {"I4: satkers with access to what is not the mapping of that satker"},
    ),
    "a mapping made": (
        [f"UPDATE attempt SET state = 'mapped', company_id = 'c', mapped_at = created_at WHERE {OPENED}"],
        {
            "I4: mappings that the history does not know of",
            "I4: mappings to which nobody has access",
        },
    ),
    "a mapping reopened": (
        [f"UPDATE attempt SET state = 'uncertain', email_digest = 'd' WHERE {MAPPED}"],
        {
            "I4: attempts that the history calls mapped, and that are not",
            "I4: satkers with access to what is not the mapping of that satker",
            "I14: attempts that cannot be as they are in their state",
            "I14: uncertain registrations that the history does not know of",
        },
    ),
    "a registration refused": (
        [
            f"UPDATE attempt SET state = 'refused', failure = 'email_taken', ended_at = created_at WHERE {OPENED}"
        ],
        {"I14: refused registrations that the history does not know of"},
    ),
    "a refused one reopened": (
        ["UPDATE attempt SET state = 'orphan' WHERE state = 'refused'"],
        {"I14: orphans that were not reported"},
    ),
    "a conflict made up": (
        [f"UPDATE attempt SET state = 'conflict', failure = 'x', ended_at = created_at WHERE {OPENED}"],
        {"I14: conflicts that the history does not know of"},
    ),
    "a refused one in conflict": (
        ["UPDATE attempt SET state = 'conflict' WHERE state = 'refused'"],
        {
            "I14: conflicts that the history does not know of",
            "I14: registrations that the history saw refused, and that are neither refused nor an orphan",
        },
    ),
    "one left under way": (
        [f"UPDATE attempt SET state = 'calling', lease_until = '2026-01-01 00:00:00+00:00' WHERE {OPENED}"],
        {"I3: attempts under way past their lease"},
    ),
    "a digest lost": (
        [f"UPDATE attempt SET email_digest = NULL WHERE {OPENED}"],
        {"I14: attempts that cannot be as they are in their state"},
    ),
    "an open satker changed": (
        [
            f"UPDATE pp_satker SET catalog_id = '{10:032x}' WHERE id = (SELECT satker_id FROM attempt WHERE {OPENED})"
        ],
        {"I2: open registrations of a satker that is off the list"},
    ),
    "no primary satker": (
        ["UPDATE pp_satker SET is_primary = false WHERE pp_id = 'pp-2'"],
        {"list: PPs with several primary satkers, none, or over 200"},
    ),
    "two companies for a satker": (
        [
            "DROP INDEX uq_attempt_live_satker",
            f"UPDATE attempt SET catalog_id = (SELECT catalog_id FROM attempt WHERE {MAPPED}) WHERE via = 'register' "
            "AND state = 'mapped'",
        ],
        {
            "I2: satkers with several live attempts",
            "I7: satkers with several companies",
            "I4: satkers with access to what is not the mapping of that satker",
        },
    ),
    "two satkers for a company": (
        [
            "DROP INDEX uq_attempt_mapped_company",
            "UPDATE attempt SET company_id = 'c' WHERE state = 'mapped'",
        ],
        {"I8: companies that serve several satkers"},
    ),
    "two registrations of an e-mail": (
        [
            "DROP INDEX uq_attempt_open_email",
            f"UPDATE attempt SET state = 'uncertain', ended_at = NULL, catalog_id = '{11:032x}', "
            f"email_digest = (SELECT email_digest FROM attempt WHERE {OPENED}) WHERE state = 'refused'",
        ],
        {
            "I2: e-mails with several open registrations",
            "I2: open registrations of a satker that is off the list",
            "I14: registrations that the history saw refused, and that are neither refused nor an orphan",
            "I14: uncertain registrations that the history does not know of",
        },
    ),
    "the history unlocked": (
        ["INSERT INTO forgetting (pp_id, pseudonym) VALUES ('pp-1', 'x')"],
        {"history: PPs whose rows may be altered by anybody"},
    ),
    "an access under an unknown satker": (
        [
            "INSERT INTO pp_satker (id, pp_id, catalog_id, is_primary, created_at, updated_at) SELECT 'new', 'pp-5', "
            f"catalog_id, true, created_at, created_at FROM attempt WHERE {MAPPED}",
            "UPDATE access SET satker_id = 'new', pp_id = 'pp-5' WHERE via = 'login'",
        ],
        {"I4: satkers with an access that the history does not know of"},
    ),
}


async def busy(service: Service) -> None:
    """A mapping by log in, one by registration, a refused, an open and a removed one; two PPs."""
    _, removed = await map_satker(service, 0)
    await call(service, "DELETE", f"mappings/{removed}", params={"reason": "x"})
    await log_in(service, await service.add(service.catalog[1]))
    await open_registration(service, 2)
    third = await service.add(service.catalog[3])
    for email in ("budi@lain.example", "tiga@satker.example"):
        await service.http.post(f"/v1/satkers/{third}/mapping/register", json=registration(email))
    await service.add(service.catalog[1], headers=pp(2))


def command(database_url: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "app", "check"],
        cwd=ROOT,
        env={"PATH": os.defpath, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


async def meddle(service: Service, statements: Sequence[str]) -> None:
    async with service.database.begin() as tx:
        for statement in statements:
            await tx.execute(text(statement))


async def test_checking_what_is_whole(service: Service, database_url: str) -> None:
    """Nothing is found, before the first PP and after a busy day."""
    assert [] == await invariants.violations(service.database)
    await busy(service)

    assert (0, "every promise is kept\n", "") == command(database_url)


async def test_checking_what_was_meddled_with(service: Service) -> None:
    """Each broken promise is found, and no other."""
    await busy(service)
    for what, (statements, expected) in MEDDLING.items():
        async with service.database.engine.connect() as tx:
            for statement in statements:
                await tx.execute(text(statement))
            broken = await invariants.find(tx)
            await tx.run_sync(Connection.rollback)

        assert (what, expected) == (what, {f"{one.promise}: {one.sentence}" for one in broken})
        assert all(one.found for one in broken)
    assert [] == await invariants.violations(service.database)


async def test_checking_the_triggers(service: Service) -> None:
    """A trigger that somebody took away is missed."""
    sqlite = service.database.is_sqlite
    await meddle(service, ["DROP TRIGGER history_is_kept" + ("" if sqlite else " ON history")])
    if not sqlite:
        await meddle(service, ["ALTER TABLE history DISABLE TRIGGER history_is_final"])

    broken = await invariants.violations(service.database)

    missed = ["history_is_kept"] if sqlite else ["history_is_final", "history_is_kept"]
    assert missed == [found for one in broken for found in one.found]


async def test_checking_by_command(service: Service, database_url: str) -> None:
    """Each violation is a line with examples; exit status 1."""
    numbers = ", ".join(
        f"('s{n}', 'pp-s{n}', '{5:032x}', false, '2026-01-01', '2026-01-01')" for n in range(25)
    )
    await meddle(
        service,
        [
            "INSERT INTO pp_satker (id, pp_id, catalog_id, is_primary, created_at, updated_at) VALUES "
            + numbers,
            "INSERT INTO forgetting (pp_id, pseudonym) VALUES ('pp-1', 'x')",
        ],
    )

    code, out, error = command(database_url)

    assert (1, "2 promises are broken\n") == (code, error)
    lists, history = out.splitlines()
    assert lists.startswith("list: PPs with several primary satkers, none, or over 200: pp-s")
    assert lists.endswith(" and more")
    assert invariants.SHOWN == lists.count("pp-s")
    assert "history: PPs whose rows may be altered by anybody: pp-1" == history
