"""`make run` on a machine that is not as it should be: one line says what, and nothing is left running."""

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

RUBBISH = b"no database at all, but long enough to be taken for a page of one. " * 80


def demo(folder: Path, port: int | None = None) -> tuple[int, list[str]]:
    """Its exit status and what it says of errors. It is not expected to run."""
    ports = [str(port or free_port()), str(free_port()), str(free_port())]
    options = zip(("--port", "--sandbox-port", "--portal-port"), ports, strict=True)
    arguments = [word for option in options for word in option]
    ended = subprocess.run(
        [sys.executable, "-m", "app", "demo", *arguments, "--folder", str(folder)],
        capture_output=True,
        text=True,
        timeout=180,
    )
    return ended.returncode, ended.stderr.splitlines()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_running_on_a_port_in_use(tmp_path: Path) -> None:
    """The port is named, and nothing was made."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert (1, [f"port {port}: Address already in use"]) == demo(tmp_path / "demo", port)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("name", ["satker.db", "mbizmarket.db"])
def test_running_over_a_broken_database_file(tmp_path: Path, name: str) -> None:
    """The file is named, and left as it is."""
    broken = tmp_path / name
    broken.write_bytes(RUBBISH)

    status, said = demo(tmp_path)

    assert (1, f"{broken}: file is not a database") == (status, said[0])
    assert not any("Traceback" in line for line in said)
    assert broken.read_bytes() == RUBBISH


def test_running_over_a_database_of_another_version(tmp_path: Path) -> None:
    """A schema that this version does not know is said so, and left as it is."""
    with sqlite3.connect(tmp_path / "satker.db") as db:
        db.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        db.execute("INSERT INTO alembic_version VALUES ('from_the_future')")
    db.close()

    status, said = demo(tmp_path)

    assert (1, 1) == (status, len(said))
    assert "from_the_future" in said[0]


def test_running_with_half_a_file_of_secrets(tmp_path: Path) -> None:
    """It says which file, and how to get a new one."""
    (tmp_path / "secrets").write_text("only-one")

    assert (
        1,
        [f"{tmp_path}/secrets: three secrets belong in it; without the file, new ones are made"],
    ) == demo(tmp_path)
