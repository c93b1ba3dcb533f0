"""What `make run` starts over one folder of data: a sandbox mbizmarket and the service, each a process of its own.

The reference portal is served beside them, from a thread: it is nothing but files.
"""

import asyncio
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import uvicorn

from app import portal
from app.auth import sign_token
from app.catalog.importer import import_satkers
from app.cli import fail, say
from app.db import Database, DatabaseUnavailable
from app.mbiz.sandbox import SAMPLE_ACCOUNTS, SANDBOX_WARNING, create_sandbox
from app.serving import bind
from app.settings import Settings, load
from app.startup import MigrationFailed, migrate_database, reason

SAMPLE_CATALOG = Path(__file__).parent / "catalog" / "sample.csv"
DEMO_PP = {
    "sub": "pp-demo",
    "email": "pp.demo@bela.example",
    "email_verified": True,
    "name": "Pejabat Pengadaan Demo",
    "preferred_username": "ppdemo",
    "phone": "+62 812 0000 0000",
    "role": "PP",
    "lpse_id": "119",
}
SECOND_PP = {
    **DEMO_PP,
    "sub": "pp-kedua",
    "email": "pp.kedua@bela.example",
    "name": "Pejabat Pengadaan Kedua",
    "preferred_username": "ppkedua",
    "phone": "+62 813 1111 1111",
}


def run(folder: Path, port: int, sandbox_port: int, portal_port: int) -> None:
    """Runs all until Ctrl-C, or until one of the processes ends."""
    for wanted in (port, sandbox_port, portal_port):
        _check_port(wanted)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.update(_environment(folder, sandbox_port, portal_port))
    settings = load(Settings)
    _prepare(settings)
    sandbox = ["sandbox", "--port", str(sandbox_port), "--database", str(folder / "mbizmarket.db")]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that no child is left behind
    children = [_start(*sandbox), _start("serve", "--port", str(port))]
    try:
        for listener, child in ((sandbox_port, children[0]), (port, children[1])):
            _await_listener(listener, child)
        forgot = settings.mbiz_forgot_password_url
        portal.start(portal_port, f"http://127.0.0.1:{port}", forgot, lambda: _people(settings))
        _introduce(settings, port, sandbox_port, portal_port)
        _watch(children)
    except KeyboardInterrupt:
        say("stopping")
    finally:
        _stop(children)


def serve_sandbox(settings: Settings, port: int, database: Path) -> None:
    """The sandbox alone, on loopback, until Ctrl-C."""
    _check_port(port)
    say(SANDBOX_WARNING)
    try:
        app = create_sandbox(
            database,
            client_id=settings.mbiz_client_id,
            client_secret=",".join(secret.get_secret_value() for secret in settings.mbiz_client_secret),
            public_url=f"http://127.0.0.1:{port}",
        )
    except sqlite3.Error as error:
        fail(f"{database}: {error}")
    uvicorn.run(
        app, host="127.0.0.1", port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1
    )


def _environment(folder: Path, sandbox_port: int, portal_port: int) -> dict[str, str]:
    """Settings of the demo; its secrets are made once and kept in the folder, so that tokens outlive a restart."""
    app_secret, jwt_key, client_secret = _secrets(folder / "secrets")
    return {
        "APP_ENV": "development",
        "APP_SECRET": app_secret,
        "DATABASE_URL": _database_url(folder),
        "MBIZ_URL": f"http://127.0.0.1:{sandbox_port}",
        "MBIZ_CLIENT_ID": "satu-pp-demo",
        "MBIZ_CLIENT_SECRET": client_secret,
        "MBIZ_FORGOT_PASSWORD_URL": f"http://127.0.0.1:{sandbox_port}/lupa-kata-sandi",
        "BELA_ISSUER": "bela-demo",
        "BELA_AUDIENCE": "satu-pp-multi-satker",
        "BELA_JWT_KEY": jwt_key,
        "BELA_JWT_ALGORITHM": "HS256",
        "CORS_ORIGINS": ",".join(portal.origins(portal_port)),
    }


def _secrets(kept: Path) -> list[str]:
    if not kept.exists():
        new = kept.with_suffix(".new")  # never half of them under the name that counts
        new.touch(mode=0o600)
        new.write_text("\n".join(secrets.token_urlsafe(48) for _ in range(3)))
        new.replace(kept)
    found = kept.read_text(errors="replace").split()
    if len(found) != 3:
        fail(f"{kept}: three secrets belong in it; without the file, new ones are made")
    return found


def _database_url(folder: Path) -> str:
    """The demo's own; another only where it is said to be for development: the sample catalog goes into it."""
    named = os.environ.get("DATABASE_URL") if os.environ.get("APP_ENV") == "development" else None
    return named or f"sqlite+aiosqlite:///{folder.absolute()}/satker.db"


def _check_port(port: int) -> None:
    try:
        bind("127.0.0.1", port).close()
    except OSError as error:
        fail(f"port {port}: {error.strerror}")


def _prepare(settings: Settings) -> None:
    """Schema and sample catalog; a file that is no database is named."""
    name = settings.database_url.partition(":///")[2] or "database"
    try:
        migrate_database(settings.database_url)
        asyncio.run(_fill_catalog(settings))
    except DatabaseUnavailable as error:
        fail(f"{name}: {reason(error)}")
    except MigrationFailed as error:
        fail(f"{name}: {error}")


async def _fill_catalog(settings: Settings) -> None:
    database = Database(settings.database_url)
    try:
        await import_satkers(database, SAMPLE_CATALOG)
    finally:
        await database.dispose()


def _start(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "app", *arguments])  # noqa: S603 - our own commands


def _await_listener(port: int, child: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if child.poll() is not None:
            fail("a process of the demo ended at once; its reason is above")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    fail(f"port {port}: nothing listens there")


def _people(settings: Settings) -> list[portal.Person]:
    """Who may sign in to the portal, each with a fresh token."""
    return [
        {
            **{claim: str(pp[claim]) for claim in ("name", "email", "role")},
            "token": sign_token(settings, pp, hours=12),
        }
        for pp in (DEMO_PP, SECOND_PP)
    ]


def _introduce(settings: Settings, port: int, sandbox_port: int, portal_port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    say(f"Portal     http://127.0.0.1:{portal_port} (the feature as a person sees it)")
    say(f"API        {base}/v1")
    say(f"Docs       {base}/docs")
    say(f"Sandbox    http://127.0.0.1:{sandbox_port} (not the real mbizmarket)")
    for account in SAMPLE_ACCOUNTS:
        say(f"  {account.email:29} {account.password:14} {account.note}")
    say(f"Demo token (12 hours)\n{sign_token(settings, DEMO_PP, hours=12)}")
    say("Ctrl-C stops it all.")


def _watch(children: list[subprocess.Popen[bytes]]) -> None:
    while all(child.poll() is None for child in children):
        time.sleep(0.2)
    fail("a process of the demo ended; stopping the other")


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    for child in children:
        child.wait(timeout=20)
