"""JSON lines on standard output. Route templates instead of paths; never a body, a query string or an e-mail."""

import logging
import sys
from contextvars import ContextVar

import structlog

# The request being served, for log lines and history rows; None in commands and background work.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def configure() -> None:
    """Our lines through structlog, once a process; other libraries' warnings as plain lines beside them."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
