"""A password that every test registers and logs in with, and that no file, log or answer may have in it afterwards.

Registered as hooks by tests/conftest.py: what tests print is looked at as it comes, their folders when all have ended,
and servers that remove their data look into it before they do.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "Kenari-7f3a91c2-Sandi"
APP_SECRET = "s" * 40  # of the service under test, which has a keyed digest for e-mails

FAST = ("md5", "sha1", "sha256", "sha512", "blake2b")


def _forms(word: str) -> Iterator[bytes]:
    """How it could be written down: as it is, encoded, or as a fast hash, which is as good as in clear."""
    plain = word.encode()
    yield from (plain, word.encode("utf-16-le"), plain.hex().encode())
    for shift in range(3):  # base64 has three spellings of what stands inside something longer
        yield base64.b64encode(b"\0" * shift + plain)[4 if shift else 0 : -4]
    digests = [hashlib.new(name, plain).digest() for name in FAST]
    for digest in (*digests, hmac.digest(APP_SECRET.encode(), plain, "sha256")):
        yield from (digest, digest.hex().encode())


FORMS = tuple(_forms(PASSWORD))

found: list[str] = []  # where it was, in the whole run


def is_in(data: bytes) -> bool:
    return any(form in data for form in FORMS)


def files_with_it(folder: Path) -> list[Path]:
    """All files in this folder, at any depth, that have the password in them in one of its forms."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_in_file(path)]


def look_into(folder: Path) -> None:
    """For who is about to remove a folder of data: what is found there is told when the run ends."""
    found.extend(str(path) for path in files_with_it(folder))


def _is_in_file(path: Path) -> bool:
    return not path.is_symlink() and is_in(path.read_bytes())


def printed_by(sections: Iterable[tuple[str, str]]) -> list[str]:
    """Which of a test's captured outputs have it."""
    return [title for title, text in sections if is_in(text.encode("utf-8", "surrogatepass"))]


# The hooks


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "teardown":  # its sections are those of the whole test
        found.extend(f"{report.nodeid}: {title}" for title in printed_by(report.sections))


@pytest.fixture(scope="session", autouse=True)
def _folders_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The first to be there and the last to go: all that tests wrote is in its final state."""
    yield
    look_into(tmp_path_factory.getbasetemp())


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if hasattr(session.config, "workeroutput"):  # one of several processes: the one that started it tells
        session.config.workeroutput["password"] = found


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """pytest-xdist's, when a worker has ended: what it found on its own."""
    found.extend(getattr(node, "workeroutput", {}).get("password", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if found:
        terminalreporter.section("the password that tests use was written down", red=True)
        for place in dict.fromkeys(found):  # what a worker's test prints, the worker and its starter both see
            terminalreporter.line(place)
