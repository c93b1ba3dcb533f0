"""python -m app …: one command for each thing an operator or an integrator does."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from sqlalchemy.exc import ProgrammingError

from app.catalog.report import Imported
from app.catalog.sources import BadSource
from app.db import Database, DatabaseUnavailable
from app.settings import DatabaseSettings, Settings, load
from app.startup import MigrationFailed, await_database, migrate_database, reason

cli = typer.Typer(
    name="python -m app", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

T = TypeVar("T")
HOST = Annotated[str, typer.Option(help="Address to listen on.")]


def main() -> None:
    """Runs a command; what an operator can mend is one line and exit status 1, a bad setting one line and 2."""
    os.umask(0o077)  # what it writes (SQLite's files, rejected lines) is about people: for its own user alone
    try:
        cli()
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
def serve(
    host: HOST = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
    no_settle: Annotated[bool, typer.Option("--no-settle", help="Leave it to `settle --every`.")] = False,
) -> None:
    """Serve the API, and settle registrations whose outcome is not known."""
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
def demo(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    sandbox_port: Annotated[int, typer.Option(min=1, max=65535)] = 9000,
    portal_port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    folder: Annotated[Path, typer.Option(help="Where the demo keeps its data.")] = Path(".demo"),
) -> None:
    """Sandbox mbizmarket, service, portal, sample catalog and a token: everything to try it, on this machine."""
    from app import demo as demonstration

    settings = load(DatabaseSettings)
    if "app_env" in settings.model_fields_set:  # on a machine that nobody has set up it just runs
        development_only(settings, "the demo")
    demonstration.run(folder, port, sandbox_port, portal_port)


@cli.command()
def sandbox(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 9000,
    database: Annotated[Path, typer.Option(help="The SQLite file with its accounts.")] = Path(
        "mbizmarket.db"
    ),
) -> None:
    """A runnable mbizmarket for development: not the real one."""
    settings = load(Settings)
    development_only(settings, "the sandbox")
    from app import demo as demonstration

    demonstration.serve_sandbox(settings, port, database)


@cli.command()
def import_satkers(
    file: Annotated[Path, typer.Argument(help="CSV, JSON or XLSX of LKPP's master data.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and change nothing.")] = False,
    rejects: Annotated[Path | None, typer.Option(help="Gets the lines that were not imported.")] = None,
    deactivate_missing: Annotated[
        bool, typer.Option("--deactivate-missing", help="Hide what the file no longer has.")
    ] = False,
) -> None:
    """Bring the catalog to what the file says."""
    from app.catalog import importer

    run = partial(importer.import_satkers, path=file, dry_run=dry_run, rejects=rejects)
    _import(partial(run, deactivate_missing=deactivate_missing))


@cli.command()
def import_mappings(
    file: Annotated[Path, typer.Argument(help="CSV, JSON or XLSX of the pairs that exist today.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and change nothing.")] = False,
) -> None:
    """Take over the pairs of PP, satker and company that exist today."""
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
def settle(
    every: Annotated[
        float | None, typer.Option(min=1, help="Seconds between rounds; once without it.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address for METRICS_PORT, with --every.")] = "127.0.0.1",
) -> None:
    """Find out what became of registrations whose outcome is not known."""
    from app import serving

    settings = load(Settings)
    try:
        if every is None:
            say(f"asked about {asyncio.run(serving.settle_once(settings))}")
        else:
            asyncio.run(serving.keep_settling(settings, every, host))
    except serving.Unsafe as error:
        fail(str(error), 2)


@cli.command()
def token(
    sub: Annotated[str, typer.Option(help="The PP's id.")],
    email: Annotated[str | None, typer.Option()] = None,
    email_verified: Annotated[bool, typer.Option()] = True,
    role: Annotated[str, typer.Option()] = "PP",
    name: Annotated[str | None, typer.Option()] = None,
    username: Annotated[str | None, typer.Option()] = None,
    phone: Annotated[str | None, typer.Option()] = None,
    lpse_id: Annotated[str | None, typer.Option()] = None,
    scope: Annotated[str | None, typer.Option()] = None,
    hours: Annotated[float, typer.Option(min=0)] = 12,
) -> None:
    """A PP's token, signed as the portal would (development, HS256)."""
    from app.auth import sign_token

    settings = load(Settings)
    development_only(settings, "the token command")
    if settings.bela_jwt_algorithm != "HS256":
        fail("BELA_JWT_ALGORITHM: only with HS256 can this service sign a token", 2)
    claims: dict[str, Any] = {"sub": sub, "role": role, "name": name, "preferred_username": username}
    claims |= {"email": email, "email_verified": email_verified if email else None}
    claims |= {"phone": phone, "lpse_id": lpse_id, "scope": scope}
    present = {claim: value for claim, value in claims.items() if value is not None}
    say(sign_token(settings, present, hours=hours))


@cli.command()
def openapi() -> None:
    """The published document, as JSON."""
    from app.main import document

    say(json.dumps(document(), ensure_ascii=False, indent=2))


@cli.command()
def purge() -> None:
    """Drop refused attempts, and digests of e-mails, that are older than RETENTION_DAYS."""
    from app import privacy

    days = load(DatabaseSettings).retention_days
    say(on_database(lambda database: privacy.purge(database, days)).text())


SUB = Annotated[str, typer.Option(help="The PP's id: `sub` of the portal's tokens.")]


@cli.command()
def export(sub: SUB) -> None:
    """Everything that is stored about a PP, as JSON."""
    from app import privacy

    found = on_database(lambda database: privacy.export(database, sub))
    say(json.dumps(found, ensure_ascii=False, indent=2))


@cli.command()
def forget(sub: SUB) -> None:
    """End a PP's accesses, drop their list, and make what has to stay be about nobody in particular."""
    from app import privacy

    try:
        done = on_database(lambda database: privacy.forget(database, sub))
    except privacy.RegistrationOpen:
        fail("a registration of this PP is open: run `settle`, or have it resolved, then try again")
    say(done.text())


@cli.command()
def doctor() -> None:
    """Whether settings, database, migrations, the portal's keys and mbizmarket are as serving needs them."""
    import structlog

    from app import doctor as examination

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # its own lines say it all
    if not asyncio.run(examination.run(load(Settings), say)):
        raise SystemExit(1)


@cli.command()
def check() -> None:
    """Hold a live database to the service's promises; exit status 1 if one is broken."""
    from app import invariants

    broken = on_database(invariants.violations)
    for violation in broken:
        say(str(violation))
    if broken:
        fail(f"{len(broken)} promises are broken")
    say("every promise is kept")
