"""Places where a test may kill the process, to show what a crash just there leaves behind. Refused in production."""

import os
import signal
from typing import Literal

Point = Literal["after_intent", "after_upstream", "before_commit", "after_commit"]


class CrashPoint:
    """Called at each place with its name; the process ends at the armed one, as if its power were cut."""

    def __init__(self, armed: Point | None) -> None:
        self._armed = armed

    def __call__(self, point: Point) -> None:
        if point == self._armed:
            os.kill(os.getpid(), signal.SIGKILL)
