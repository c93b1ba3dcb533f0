"""The server process: uvicorn with this service's own log lines and stopping rules, and the port for metrics."""

import asyncio
import fcntl
import gc
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from app import logs
from app.figures import Observatory
from app.main import Beside, close, create_app, make_context, nothing_beside
from app.mapping import settling
from app.metrics import CONTENT_TYPE, SHARED_FOLDER
from app.protocol import BoundedProtocol
from app.settings import Settings, load

SETTLE_EVERY = 5.0  # seconds


# From the first process to its workers: where to listen for METRICS_PORT, which is as for the API itself.
METRICS_HOST = "SATU_PP_METRICS_HOST"
FOLDERS = "satu-pp-metrics-"


def settling_app() -> FastAPI:
    """What each worker process starts from."""
    return _app(SETTLE_EVERY)


def app_alone() -> FastAPI:
    """The same where settling is a process of its own."""
    return _app(None)


def _app(settle_every: float | None) -> FastAPI:
    logs.configure()
    settings = load(Settings)
    host, port = os.environ.get(METRICS_HOST, "127.0.0.1"), settings.metrics_port
    beside = _metrics_on(host, port) if port else nothing_beside
    return _frozen(create_app(settings, settle_every=settle_every, beside=beside))


def _frozen(app: FastAPI) -> FastAPI:
    """The collector no longer walks through what is there for good, which is nearly everything: it would all the time.

    A quarter more requests, and a third off their 99th percentile. What requests leave behind in cycles is still found.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    return app


class Unsafe(Exception):
    """Settings that do not go together with how the service is started; the message is one line."""


def check(host: str, port: int, workers: int, settings: Settings) -> None:
    """Raises Unsafe, and OSError: the port is in use."""
    if workers > 1 and not settings.development and settings.rate_limit_storage.startswith("memory:"):
        raise Unsafe("RATE_LIMIT_STORAGE: several workers need a redis:// that they share")
    if settings.metrics_port == port:
        raise Unsafe("METRICS_PORT: is the port of the API itself")
    bind(host, port).close()
    if settings.metrics_port is not None:
        _bind_metrics(host, settings.metrics_port).close()


async def settle_once(settings: Settings) -> int:
    """How many registrations were asked about."""
    context = make_context(settings)
    try:
        return await settling.settle(context, whatever_the_backoff=True)
    finally:
        await close(context)


async def keep_settling(settings: Settings, every: float, host: str) -> None:
    """Until SIGTERM or Ctrl-C; on METRICS_PORT, if there is one, it tells what it counts. Raises Unsafe."""
    logs.configure()
    context = make_context(settings)
    port = settings.metrics_port
    rounds = asyncio.ensure_future(settling.keep_settling(context, every))
    # The first process of a container would not be ended by them otherwise.
    for stop in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(stop, rounds.cancel)
    try:
        async with _metrics(_bind_metrics(host, port), Observatory(context).own) if port else nullcontext():
            with suppress(asyncio.CancelledError):
                await rounds
    finally:
        rounds.cancel()
        await close(context)


def serve(host: str, port: int, workers: int, settings: Settings, *, settle: bool) -> None:
    """Serves until SIGTERM or Ctrl-C; running requests may end within one deadline."""
    os.environ[METRICS_HOST] = host
    with _shared_folder() if workers > 1 else nullcontext():
        uvicorn.run(
            f"app.worker:{(settling_app if settle else app_alone).__name__}",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            http=BoundedProtocol,
            ws="none",
            access_log=False,
            log_level="warning",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=int(settings.mbiz_deadline_seconds) + 2,
        )


@contextmanager
def _shared_folder() -> Iterator[None]:
    """Where several workers count together, for as long as they serve. What a killed process left behind goes first.

    A folder is in use while its lock is held; the kernel lets go of that, however the process ends.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*"):
        _remove_unless_in_use(left)
    folder = Path(tempfile.mkdtemp(prefix=FOLDERS))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.environ[SHARED_FOLDER] = str(folder)
        try:
            yield
        finally:
            del os.environ[SHARED_FOLDER]
            shutil.rmtree(folder, ignore_errors=True)


def _remove_unless_in_use(folder: Path) -> None:
    try:
        with (folder / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # somebody else's, or in use
        return


class _Beside(uvicorn.Server):
    """A second server in the process: signals are the first one's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _metrics_on(host: str, port: int) -> Beside:
    """Each worker listens, and the kernel chooses who is asked: any can answer for all."""

    @asynccontextmanager
    async def beside(app: FastAPI) -> AsyncIterator[None]:
        async with _metrics(bind(host, port, shared=True), app.state.observatory.text):
            yield

    return beside


@asynccontextmanager
async def _metrics(listener: socket.socket, text: Callable[[], Awaitable[bytes]]) -> AsyncIterator[None]:
    config = uvicorn.Config(
        _metrics_alone(text),
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
    )
    server = _Beside(config)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving
        listener.close()


def _metrics_alone(text: Callable[[], Awaitable[bytes]]) -> ASGIApp:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        found = scope["path"] == "/metrics"
        body = await text() if found else b""
        headers = [(b"content-type", CONTENT_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


def _bind_metrics(host: str, port: int) -> socket.socket:
    """For one process alone. Raises Unsafe."""
    try:
        return bind(host, port)
    except OSError as error:
        raise Unsafe(f"METRICS_PORT: {port} on {host}: {error.strerror}") from None


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket on this address, to learn at once whether it is free; `shared` with other processes that say so."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
