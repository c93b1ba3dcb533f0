"""What was measured on the way, at the end of the run."""

from tests.workers import told

FIGURES: list[str] = []

told["grow"] = lambda: FIGURES
