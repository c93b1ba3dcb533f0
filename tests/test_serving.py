"""How the server process is set up, looked at from within one."""

import subprocess
import sys
from inspect import iscoroutinefunction
from pathlib import Path

from app.admin import routes as admin
from app.catalog import routes as catalog
from app.history import routes as history
from app.mapping import routes as mapping
from app.satker import routes as satker
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from tests.test_logs import environment

ROOT = Path(__file__).parent.parent

LOOK = """
import gc, weakref
from app.worker import app_alone

class Cycle:
    def __init__(self):
        self.itself = self

app = app_alone()
frozen, thresholds = gc.get_freeze_count(), gc.get_threshold()
made = Cycle()
alive = weakref.ref(made)
del made
gc.collect()
print(frozen > 50_000, thresholds, alive() is None)
"""

SERVE_WHERE_IT_CANNOT = """
import socket, sys
from app.cli import main

taken = socket.create_server(("127.0.0.1", 0))
sys.argv = ["app", "serve", "--port", str(taken.getsockname()[1])]
try:
    main()
except SystemExit as ended:
    print(ended, "app.main" in sys.modules)
print([name for name in %r if sys.modules.get(name)])
"""

# What was not built at the start is built when it is used, and what was kept away is there for others.
LEAN = """
import json
from app import lean

from app.main import document
from cryptography import x509

certificate = x509.CertificateBuilder().subject_name(x509.Name.from_rfc4514_string("CN=lkpp"))
print(json.dumps(document(), ensure_ascii=False, indent=2))
"""

# Each is megabytes of every worker, or a share of its start.
UNUSED = [
    *("alembic", "cryptography.x509", "jsonschema", "limits", "opentelemetry.sdk", "pydantic.v1", "pygments"),
    *("redis", "rich", "sqlalchemy.ext.asyncio", "sqlalchemy.orm", "watchfiles"),
]


def run(script: str, sqlite_url: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(sqlite_url),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout, done.stderr


def test_what_the_collector_walks_through(sqlite_url: str) -> None:
    """What is there from the start is left alone; what requests leave behind in cycles is still found."""
    assert ("True (50000, 20, 100) True\n", "") == run(LOOK, sqlite_url)


def test_what_a_server_has_no_use_for(sqlite_url: str) -> None:
    """Its memory and its start are not spent on what other commands, other settings or terminals need."""
    out, _ = run(SERVE_WHERE_IT_CANNOT % (UNUSED,), sqlite_url)
    assert "1 True\n[]\n" == out


def test_what_is_built_when_it_is_used(sqlite_url: str) -> None:
    """The document's models, which FastAPI builds beforehand elsewhere, make the same document."""
    out, errors = run(LEAN, sqlite_url)
    assert "" == errors
    assert (ROOT / "openapi/service.json").read_text() == out


def test_nothing_that_a_request_needs_runs_in_a_thread() -> None:
    """A dependency or a route that is not async costs a thread's switches, twice the time of the rest."""
    waiting: list[Dependant] = [
        route.dependant
        for module in (admin, catalog, history, mapping, satker)
        for route in module.router.routes
        if isinstance(route, APIRoute)
    ]
    assert len(waiting) > 20
    threads = set()
    while waiting:
        dependant = waiting.pop()
        waiting += dependant.dependencies
        if not (iscoroutinefunction(dependant.call) or isinstance(dependant.call, HTTPBearer)):
            threads.add(dependant.call)
    assert set() == threads


BUILT = """
from app import worker
from fastapi.openapi.models import Info
from app.mapping.schemas import MappingOut

made = MappingOut(satker_id="s", status="unmapped", company=None, via=None, mapped_at=None, last_failure=None)
print(Info.__pydantic_complete__, made.model_dump_json()[:16])
"""


def test_what_a_server_builds(sqlite_url: str) -> None:
    """A model is built when it is used: those that describe the document are not, for a server reads it from a file."""
    assert ('False {"satker_id":"s"\n', "") == run(BUILT, sqlite_url)
