"""Headless Chromium over the real processes. Without it these tests are skipped; .ci/run installs Debian's."""

import itertools
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.browser.processes import Demo, Person, running
from tests.browser.screens import Screens

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",  # as on a closed network
]
PATIENCE = 30_000  # milliseconds for what should be there at once: the machine may be busy

numbers = itertools.count(1)
failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[failed] = report.failed
    return report


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Ends with this package: while it runs, no other test could have an event loop of its own."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: on Debian, apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def running_demo(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running(tmp_path_factory.mktemp("demo")) as demo:
        yield demo


@pytest.fixture
def demo(running_demo: Demo) -> Demo:
    running_demo.clear_faults()
    return running_demo


@pytest.fixture
def person(new_person: Callable[..., Person]) -> Person:
    return new_person()


@pytest.fixture
def new_person(demo: Demo) -> Callable[..., Person]:
    """PPs that no other test knows; their e-mails too are new, unless one is given before the number."""

    def make(local: str = "pp", **more: bool) -> Person:
        number = next(numbers)
        return Person(
            demo, f"pp-{number}", f"{local}+{number}@satker.example", name=f"Pejabat {number}", **more
        )

    return make


@pytest.fixture
def context(browser: Browser, artifacts: Path, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A browser that has visited nothing. What goes wrong in the portal's own scripts fails the test."""
    context = browser.new_context(locale="id-ID", timezone_id="Asia/Jakarta")
    context.set_default_timeout(PATIENCE)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    if request.node.stash.get(failed, False):
        for number, page in enumerate(context.pages):
            page.screenshot(path=artifacts / f"FAILED-{request.node.name}-{number}.png")
    context.close()
    assert [] == errors


@pytest.fixture
def new_screens(context: BrowserContext, demo: Demo) -> Callable[[], Screens]:
    return lambda: Screens(context.new_page(), demo)


@pytest.fixture
def screens(new_screens: Callable[[], Screens]) -> Screens:
    return new_screens()


@pytest.fixture(scope="package")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures go: $ARTIFACTS, or pytest's own temporary folder."""
    kept = os.environ.get("ARTIFACTS")
    folder = Path(kept) / "portal" if kept else tmp_path_factory.mktemp("portal")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
