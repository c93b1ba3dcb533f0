"""What was measured on the way, at the end of the run."""

import pytest

FIGURES: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FIGURES:
        terminalreporter.section("grow")
        for line in FIGURES:
            terminalreporter.line(line)
