"""python -m app …: one command for each thing an operator or an integrator does."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from sqlalchemy.exc import ProgrammingError

from app.catalog.report import Imported
from app.catalog.sources import BadSource
from app.db import Database, DatabaseUnavailable
from app.settings import DatabaseSettings, Settings, load
from app.startup import MigrationFailed, await_database, migrate_database, reason

T = TypeVar("T")
PATH = click.Path(path_type=Path)
PORT = click.IntRange(1, 65535)


@click.group(context_settings={"show_default": True})
def cli() -> None:
    """Satu PP Multi Satker: a PP's satkers, and their companies in mbizmarket."""


def main() -> None:
    """Runs a command; what an operator can mend is one line and exit status 1, a bad setting one line and 2."""
    os.umask(0o077)  # what it writes (SQLite's files, rejected lines) is about people: for its own user alone
    try:
        cli(prog_name="python -m app")
    except (DatabaseUnavailable, ProgrammingError) as error:
        fail(f"database: {reason(error)}")
    except OSError as error:
        fail(str(error))


def warn(line: str) -> None:
    sys.stderr.write(" ".join(line.split()) + "\n")


def fail(line: str, status: int = 1) -> NoReturn:
    warn(line)
    raise SystemExit(status)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def development_only(settings: DatabaseSettings, what: str) -> None:
    if not settings.development:
        fail(f"APP_ENV: {what} runs in development only", 2)


def on_database(run: Callable[[Database], Awaitable[T]]) -> T:
    """What a command finds or changes in the configured database."""

    async def whole() -> T:
        database = Database(load(DatabaseSettings).database_url)
        try:
            return await run(database)
        finally:
            await database.dispose()

    return asyncio.run(whole())


@cli.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", type=PORT, default=8000)
@click.option("--workers", type=click.IntRange(1, 64), default=1)
@click.option("--no-settle", is_flag=True, help="Leave it to `settle --every`.")
def serve(host: str, port: int, workers: int, no_settle: bool) -> None:
    """Serve the API. Registrations whose outcome is not known are settled beside it."""
    from app import lean, serving  # noqa: F401 - lean first

    settings = load(Settings)
    try:
        serving.check(host, port, workers, settings)
        await_database(settings.database_url, warn)
        serving.serve(host, port, workers, settings, settle=not no_settle)
    except serving.Unsafe as error:
        fail(str(error), 2)
    except OSError as error:
        fail(f"port {port} on {host}: {error.strerror}")


@cli.command()
def migrate() -> None:
    """Bring the database to this version's schema."""
    url = load(DatabaseSettings).database_url
    await_database(url, warn)
    try:
        migrate_database(url)
    except MigrationFailed as error:
        fail(f"migrate: {error}; the database is as it was")
    say("the schema is up to date")


@cli.command()
@click.option("--port", type=PORT, default=8000)
@click.option("--sandbox-port", type=PORT, default=9000)
@click.option("--portal-port", type=PORT, default=8080)
@click.option("--folder", type=PATH, default=".demo", help="Where the demo keeps its data.")
def demo(port: int, sandbox_port: int, portal_port: int, folder: Path) -> None:
    """Everything to try it, on this machine. Sandbox mbizmarket, service, portal, sample catalog and a token."""
    from app import demo as demonstration

    settings = load(DatabaseSettings)
    if "app_env" in settings.model_fields_set:  # on a machine that nobody has set up it just runs
        development_only(settings, "the demo")
    demonstration.run(folder, port, sandbox_port, portal_port)


@cli.command()
@click.option("--port", type=PORT, default=9000)
@click.option("--database", type=PATH, default="mbizmarket.db", help="The SQLite file with its accounts.")
def sandbox(port: int, database: Path) -> None:
    """A runnable mbizmarket for development: not the real one."""
    settings = load(Settings)
    development_only(settings, "the sandbox")
    from app import demo as demonstration

    demonstration.serve_sandbox(settings, port, database)


DRY_RUN = click.option("--dry-run", is_flag=True, help="Report, and change nothing.")


@cli.command()
@click.argument("file", type=PATH)
@DRY_RUN
@click.option("--rejects", type=PATH, help="Gets the lines that were not imported.")
@click.option("--deactivate-missing", is_flag=True, help="Hide what the file no longer has.")
def import_satkers(file: Path, dry_run: bool, rejects: Path | None, deactivate_missing: bool) -> None:
    """Bring the catalog to what FILE says. It is LKPP's master data as CSV, JSON or XLSX."""
    from app.catalog import importer

    run = partial(importer.import_satkers, path=file, dry_run=dry_run, rejects=rejects)
    _import(partial(run, deactivate_missing=deactivate_missing))


@cli.command()
@click.argument("file", type=PATH)
@DRY_RUN
def import_mappings(file: Path, dry_run: bool) -> None:
    """Take over the pairs that exist today. FILE has PP, satker and company, as CSV, JSON or XLSX."""
    from app.mapping import legacy

    _import(partial(legacy.import_mappings, path=file, dry_run=dry_run))


def _import(run: Callable[..., Awaitable[Imported]]) -> None:
    """Runs an import on the configured database, with its progress on standard error."""
    from app.catalog.progress import console_progress  # rich, which serving has no use for

    async def with_progress(database: Database) -> Imported:
        with console_progress() as progress:
            return await run(database, progress=progress)

    try:
        done = on_database(with_progress)
    except BadSource as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("stopped; what was imported stays, and running it again completes it", 130)
    say(done.text())
    if not done.taken:
        fail("nothing was imported: every line was rejected")


@cli.command()
@click.option("--every", type=click.FloatRange(1), help="Seconds between rounds; once without it.")
@click.option("--host", default="127.0.0.1", help="Address for METRICS_PORT, with --every.")
def settle(every: float | None, host: str) -> None:
    """Settle registrations whose outcome is not known. Once, or with --every until it is stopped."""
    from app import serving

    settings = load(Settings)
    try:
        if every is None:
            say(f"asked about {asyncio.run(serving.settle_once(settings))}")
        else:
            asyncio.run(serving.keep_settling(settings, every, host))
    except serving.Unsafe as error:
        fail(str(error), 2)


SUB = click.option("--sub", required=True, help="The PP's id: `sub` of the portal's tokens.")


@cli.command()
@SUB
@click.option("--email")
@click.option("--email-verified/--no-email-verified", default=True)
@click.option("--role", default="PP")
@click.option("--name")
@click.option("--username", "preferred_username")
@click.option("--phone")
@click.option("--lpse-id")
@click.option("--scope")
@click.option("--hours", type=click.FloatRange(0), default=12)
def token(email: str | None, email_verified: bool, hours: float, **named: str | None) -> None:
    """A PP's token, signed as the portal would. In development alone, and with HS256."""
    from app.auth import sign_token

    settings = load(Settings)
    development_only(settings, "the token command")
    if settings.bela_jwt_algorithm != "HS256":
        fail("BELA_JWT_ALGORITHM: only with HS256 can this service sign a token", 2)
    claims: dict[str, Any] = {**named, "email": email, "email_verified": email_verified if email else None}
    present = {claim: value for claim, value in claims.items() if value is not None}
    say(sign_token(settings, present, hours=hours))


@cli.command()
def openapi() -> None:
    """The published document, as JSON."""
    from app.main import document

    say(json.dumps(document(), ensure_ascii=False, indent=2))


@cli.command()
def purge() -> None:
    """Drop what is older than RETENTION_DAYS. That is refused attempts, and digests of e-mails."""
    from app import privacy

    days = load(DatabaseSettings).retention_days
    say(on_database(lambda database: privacy.purge(database, days)).text())


@cli.command()
@SUB
def export(sub: str) -> None:
    """Everything that is stored about a PP, as JSON."""
    from app import privacy

    found = on_database(lambda database: privacy.export(database, sub))
    say(json.dumps(found, ensure_ascii=False, indent=2))


@cli.command()
@SUB
def forget(sub: str) -> None:
    """End a PP's accesses and drop their list. What has to stay is made to be about nobody in particular."""
    from app import privacy

    try:
        done = on_database(lambda database: privacy.forget(database, sub))
    except privacy.RegistrationOpen:
        fail("a registration of this PP is open: run `settle`, or have it resolved, then try again")
    say(done.text())


@cli.command()
def doctor() -> None:
    """Whether all is as serving needs it. Settings, database, migrations, the portal's keys and mbizmarket."""
    import structlog

    from app import doctor as examination

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # its own lines say it all
    if not asyncio.run(examination.run(load(Settings), say)):
        raise SystemExit(1)


@cli.command()
def check() -> None:
    """Hold a live database to the service's promises. Exit status 1 if one is broken."""
    from app import invariants

    broken = on_database(invariants.violations)
    for violation in broken:
        say(str(violation))
    if broken:
        fail(f"{len(broken)} promises are broken")
    say("every promise is kept")
