"""Log lines on standard output: JSON, or for people where that is a terminal.

Route templates instead of paths; never a body, a query string, an e-mail or a secret.
"""

import json
import logging
import sys
import time
from collections.abc import MutableMapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, NamedTuple, TextIO

import structlog

# The request being served, for log lines and history rows; None in commands and background work.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

log = structlog.get_logger()
_json_lines: TextIO | None = None


def configure() -> None:
    """Our lines through structlog, once a process; other libraries' warnings as plain lines beside them."""
    global _json_lines
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    terminal = sys.stdout.isatty()
    _json_lines = None if terminal else sys.stdout
    structlog.configure(
        processors=_for_people() if terminal else [_line],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )


class Request(NamedTuple):
    """What is told of a request. `satker_id` and `trace_id` are there where there is one; `status` 0: no answer."""

    request_id: str
    method: str
    route: str | None
    status: int
    outcome: str  # ok, or the problem's code
    ms: float
    pp_id: str | None
    satker_id: str | None
    mbiz_calls: int
    mbiz_ms: float
    trace_id: str | None

    def tell(self) -> None:
        """Its line. Put together by hand where it is JSON: each request has one, and structlog takes thrice as long."""
        if _json_lines is None:
            fields = self._replace(ms=round(self.ms, 1), mbiz_ms=round(self.mbiz_ms, 1))._asdict()
            log.info("request", **{name: value for name, value in fields.items() if value is not None})
            return
        route = _quoted(self.route) if self.route else "null"
        pp_id = _quoted(self.pp_id) if self.pp_id else "null"
        satker_id = f'"{self.satker_id}"' if self.satker_id else "null"
        trace_id = f', "trace_id": "{self.trace_id}"' if self.trace_id else ""
        _json_lines.write(
            f'{{"event": "request", "request_id": "{self.request_id}", "method": {_quoted(self.method)}, '
            f'"route": {route}, "status": {self.status}, "outcome": "{self.outcome}", "ms": {self.ms:.1f}, '
            f'"pp_id": {pp_id}, "satker_id": {satker_id}, "mbiz_calls": {self.mbiz_calls}, '
            f'"mbiz_ms": {self.mbiz_ms:.1f}{trace_id}, "level": "info", "timestamp": "{_now()}"}}\n'
        )
        _json_lines.flush()


_encode = json.JSONEncoder(default=str).encode


def _line(_logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    event["level"] = method
    event["timestamp"] = _now()
    return _encode(event)


def _now() -> str:
    second, micro = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_to_the_second(second)}.{micro:06}Z"


@lru_cache(maxsize=2)  # writing a date out takes longer than all the rest of a line
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]


def _for_people() -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(pad_event_to=0, sort_keys=False),
    ]
