"""Who competes: each contender's command, on the same database and with the same key."""

import shutil
from collections.abc import Mapping

from bench.data import AUDIENCE, ISSUER, Filled, public_key
from bench.processes import CONTENDERS, LOAD_CORE, PYTHON, SET_UP, Server, free_port, python

REFERENCE, SERVICE, BARE, RAW = "reference", "this service", "bare FastAPI route", "raw ASGI"
TEMPLATE, LITESTAR, NINJA, FASTIFY = "template style", "litestar", "django ninja", "fastify"


def service_environment(database: Filled, mbiz_url: str) -> dict[str, str]:
    """As in production; the calls a minute are a setting, and as high as it goes."""
    return {
        "DATABASE_URL": database.server.url(database.name),
        "APP_SECRET": "a" * 40,
        "MBIZ_URL": mbiz_url,
        "MBIZ_CLIENT_ID": "satu-pp",
        "MBIZ_CLIENT_SECRET": "secret",
        "MBIZ_FORGOT_PASSWORD_URL": "https://mbiz.example/lupa",
        "BELA_ISSUER": ISSUER,
        "BELA_AUDIENCE": AUDIENCE,
        "BELA_JWT_KEY": public_key(),
        "BELA_JWT_ALGORITHM": "RS256",
        "CALLS_PER_MINUTE": "1000000",
    }


def contender_environment(database: Filled) -> dict[str, str]:
    return {
        "PGHOST": str(database.server.folder),
        "PGPORT": str(database.server.port),
        "PGDATABASE": database.name,
        "JWT_KEY": public_key(),
        "PYTHONPATH": str(CONTENDERS),
    }


def service(database: Filled, mbiz_url: str = "http://127.0.0.1:9", name: str = SERVICE) -> Server:
    """This service as shipped, by the command that operators use."""
    port = free_port()
    command = python("-m", "app", "serve", "--port", str(port))
    return Server(name, command, service_environment(database, mbiz_url), port)


def bare(database: Filled, mbiz_url: str) -> Server:
    return Server(
        BARE,
        *_in_our_environment("bare:app", DATABASE_URL=database.server.url(database.name), MBIZ_URL=mbiz_url),
    )


def raw_asgi() -> Server:
    return Server(RAW, *_in_our_environment("raw_asgi:app"))


def market(seconds: float) -> Server:
    """An mbizmarket on the load's core."""
    port = free_port()
    command = python("-m", "bench.market", str(port), str(seconds))
    return Server(f"mbizmarket of {seconds * 1000:.0f} ms", command, {}, port, core=LOAD_CORE)


def _in_our_environment(app: str, **environment: str) -> tuple[list[str], dict[str, str], int]:
    port = free_port()
    options = ("--port", str(port), "--no-access-log", "--log-level", "warning", "--app-dir", str(CONTENDERS))
    return python("-m", "uvicorn", *options, app), environment, port


def contender(name: str, database: Filled) -> Server:
    port = free_port()
    return Server(
        name,
        commands(port)[name],
        {**contender_environment(database), "PORT": str(port)},
        port,
    )


def commands(port: int) -> Mapping[str, list[str]]:
    """Contenders but this service. Node's is left out where there is no Node."""
    uvicorn = [str(PYTHON), "-m", "uvicorn", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    gunicorn = [
        str(PYTHON),
        "-m",
        "gunicorn",
        "--bind",
        f"127.0.0.1:{port}",
        "--threads",
        "8",
        "--log-level",
        "error",
    ]
    found = {
        REFERENCE: [*uvicorn, "reference:app"],
        TEMPLATE: [*uvicorn, "template:app"],
        LITESTAR: [*uvicorn, "litestar_app:app"],
        NINJA: [*gunicorn, "ninja_app:app"],
    }
    node, script = shutil.which("node"), SET_UP / "fastify" / "fastify_pg.js"
    if node and script.exists():
        found[FASTIFY] = [node, str(script)]
    return found
