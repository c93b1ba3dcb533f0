"""What an operator would look at one after the other: can this machine, with these settings, serve?"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import text

from app.budgets import Memory
from app.db import SCHEMA, Database, DatabaseUnavailable
from app.keys import Jwks
from app.mbiz.client import Call, Mbizmarket
from app.mbiz.errors import BadAnswer, ClientRefused, MbizError
from app.settings import Settings
from app.startup import reason
from app.throttle import storage_for

if TYPE_CHECKING:
    from app.shared import Shared

PATIENCE = 10.0  # seconds for each question

_VERSION = text("SELECT version_num FROM alembic_version")


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    well: bool
    said: str

    def __str__(self) -> str:
        return f"{'ok  ' if self.well else 'FAIL'} {self.what}: {self.said}"


async def run(settings: Settings, say: Callable[[str], None]) -> bool:
    """A line for each; whether all is well."""
    findings = []
    async for finding in examine(settings):
        say(str(finding))
        findings.append(finding)
    return all(finding.well for finding in findings)


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """One finding after the other. Nothing is changed anywhere, and no secret is in them."""
    yield Finding("settings", True, f"complete, for {settings.app_env}")
    database = Database(settings.database_url, pool_size=1)
    try:
        for finding in await _database(database):
            yield finding
    finally:
        await database.dispose()
    storage = storage_for(settings.rate_limit_storage)
    if not isinstance(storage, Memory):
        yield await _budgets(storage)
    yield await _portal_keys(settings)
    yield await _mbizmarket(settings)


async def _database(database: Database) -> list[Finding]:
    name = "SQLite" if database.is_sqlite else "PostgreSQL"
    version = "sqlite_version()" if database.is_sqlite else "current_setting('server_version')"
    try:
        async with asyncio.timeout(PATIENCE), database.reading() as db:
            number = await db.scalar(text(f"SELECT {version}"))
    except DatabaseUnavailable as error:
        return [Finding("database", False, " ".join(reason(error).split()))]
    except TimeoutError:
        return [Finding("database", False, f"no answer in {PATIENCE:.0f} s")]
    return [Finding("database", True, f"{name} {number} answers"), await _migrations(database)]


async def _migrations(database: Database) -> Finding:
    try:
        async with database.reading() as db:
            version = await db.scalar(_VERSION)
    except DatabaseUnavailable:
        version = None
    if not version or version < SCHEMA:
        there = f"the schema is at {version}" if version else "there is no schema"
        return Finding(
            "migrations", False, f"{there}, this version needs {SCHEMA}: run `python -m app migrate`"
        )
    newer = f", newer than the {SCHEMA} of this version" if version > SCHEMA else ""
    return Finding("migrations", True, f"the schema is at {version}{newer}")


async def _budgets(shared: "Shared") -> Finding:
    there = await shared.is_there()
    await shared.aclose()
    said = (
        "Redis answers"
        if there
        else "Redis does not answer at RATE_LIMIT_STORAGE: each process counts for itself"
    )
    return Finding("budgets", there, said)


async def _portal_keys(settings: Settings) -> Finding:
    if settings.bela_jwks_url is None:
        return Finding("portal keys", True, f"the {settings.bela_jwt_algorithm} key of the settings")
    jwks = Jwks(settings.bela_jwks_url)
    try:
        await jwks.find("")
    finally:
        await jwks.aclose()
    if not jwks.count:
        return Finding("portal keys", False, "BELA_JWKS_URL gave none that could check a token")
    return Finding("portal keys", True, f"{jwks.count} from BELA_JWKS_URL")


async def _mbizmarket(settings: Settings) -> Finding:
    """Asks for a registration that cannot be there: that takes a connection, TLS, our client id and their API."""
    secrets = [secret.get_secret_value() for secret in settings.mbiz_client_secret]
    mbiz = Mbizmarket(settings.mbiz_url, settings.mbiz_client_id, secrets)
    began = time.monotonic()
    try:
        await mbiz.find_registration(Call.within(settings.mbiz_deadline_seconds, "doctor"), uuid4().hex)
    except BadAnswer:
        return Finding("mbizmarket", False, "what answers at MBIZ_URL is not its partner API")
    except ClientRefused:
        return Finding(
            "mbizmarket", False, "answers, and refuses MBIZ_CLIENT_ID with every MBIZ_CLIENT_SECRET"
        )
    except MbizError as error:
        why = error.outcome.replace("_", " ")
        return Finding("mbizmarket", False, f"{why}: MBIZ_URL leads nowhere")
    finally:
        await mbiz.aclose()
    return Finding("mbizmarket", True, f"answers and knows us, {(time.monotonic() - began) * 1000:.0f} ms")
