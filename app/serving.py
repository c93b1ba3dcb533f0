"""The server process: uvicorn with this service's own log lines and stopping rules."""

import socket

import uvicorn
from fastapi import FastAPI

from app import logs
from app.main import create_app
from app.settings import Settings, load


def app_from_environment() -> FastAPI:
    """What each worker process starts from."""
    logs.configure()
    return create_app(load(Settings))


def serve(host: str, port: int, workers: int, settings: Settings) -> None:
    """Serves until SIGTERM or Ctrl-C; running requests may end within one deadline. Raises OSError: port in use."""
    listener = bind(host, port)
    listener.close()
    uvicorn.run(
        "app.serving:app_from_environment",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.mbiz_deadline_seconds) + 2,
    )


def bind(host: str, port: int) -> socket.socket:
    """A socket on this address, to learn at once whether it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
