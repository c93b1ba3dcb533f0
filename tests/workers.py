"""How the tests are spread over pytest-xdist's workers, and how what a worker has to tell gets to the end of the run.

Its hooks are registered by tests/conftest.py: the process that starts the workers reads no other file of tests.
"""

from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Files that share costly processes are one unit of work; each begins with one of these.
TOGETHER = (
    ("tests/crash/", "tests/test_stop.py", "tests/test_state_machine.py"),
    ("tests/browser/",),
    ("tests/grow/",),
)

# A heading, and what a test module has to say under it when the run is over.
told: dict[str, Callable[[], list[str]]] = {}
_heard: dict[str, list[str]] = {}


class InOrder(LoadScopeScheduling):
    """A file at a time to whoever has room, in the order of collection; what is in TOGETHER stays together."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        alike = (unit[0] for unit in TOGETHER if nodeid.startswith(unit))
        return next(alike, nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> InOrder:
    return InOrder(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    lines = {heading: say() for heading, say in told.items()}
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["told"] = lines
    else:
        _heard.update(lines)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for heading, lines in getattr(node, "workeroutput", {}).get("told", {}).items():
        _heard[heading] = _heard.get(heading, []) + lines


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for heading, lines in _heard.items():
        if lines:
            terminalreporter.section(heading)
            for line in lines:
                terminalreporter.line(line)
