"""Puts the service together: everything is made here and handed in, nothing happens at import."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Match

from app import docs, health
from app.address import networks
from app.admin import routes as admin
from app.auth import TokenReader
from app.budgets import CallBudget
from app.catalog import routes as catalog
from app.crash import CrashPoint
from app.db import Database, DatabaseUnavailable
from app.edge import Edge, Gate
from app.emails import Digests
from app.figures import Observatory
from app.held import Reader
from app.history import routes as history
from app.keys import Jwks
from app.mapping import routes as mapping
from app.mapping.context import Context
from app.mapping.lookup import Lookup
from app.mapping.settling import keep_settling
from app.mbiz.client import Mbizmarket
from app.metrics import Metrics
from app.openapi import TITLE, VERSION
from app.problems import (
    DatabaseAway,
    MalformedBody,
    MethodNotAllowed,
    NotFound,
    Problem,
    respond,
    validation_problem,
)
from app.satker import routes as satker
from app.settings import Settings
from app.shortway import ShortWay
from app.throttle import Throttle, storage_for
from app.tracing import Tracing

CORS_ALLOWS = [
    "Authorization",
    "Content-Type",
    "If-Match",
    "If-None-Match",
    "Accept-Language",
    "X-Request-Id",
]
Beside = Callable[[FastAPI], AbstractAsyncContextManager[None]]

CORS_EXPOSES = ["ETag", "Location", "Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"]


@asynccontextmanager
async def nothing_beside(_app: FastAPI) -> AsyncIterator[None]:
    yield


def create_app(
    settings: Settings,
    *,
    mbiz_transport: httpx.AsyncBaseTransport | None = None,
    settle_every: float | None = None,
    beside: Beside = nothing_beside,
) -> FastAPI:
    """The service. Tests hand in another wire to mbizmarket; `settle_every` seconds it settles by itself.

    `beside` is entered for as long as the service runs.
    """
    app = _routed()
    app.state.tracing = tracing = (
        Tracing(settings.otel_exporter_otlp_endpoint) if settings.otel_exporter_otlp_endpoint else None
    )
    app.state.context = context = make_context(settings, mbiz_transport, tracing)
    app.state.observatory = Observatory(context)
    app.state.beside = beside
    app.state.settle_every = settle_every
    app.state.jwks = jwks = Jwks(settings.bela_jwks_url) if settings.bela_jwks_url else None
    _guard(app, settings, context, tracing, jwks)
    return app


def _guard(
    app: FastAPI, settings: Settings, context: Context, tracing: Tracing | None, jwks: Jwks | None
) -> None:
    """What stands in front of the routes; the last one added is the outermost: CORS sees every answer, the 500 too."""
    app.add_middleware(ShortWay, context=context)
    app.add_middleware(
        Gate,
        tokens=TokenReader(settings, jwks),
        roles=frozenset(settings.bela_roles),
        calls=CallBudget(
            settings.calls_per_minute, context.throttle.shared, refused=context.metrics.throttled
        ),
        proxies=networks(settings.trusted_proxies),
    )
    app.add_middleware(Edge, budget=settings.mbiz_deadline_seconds, metrics=context.metrics, tracing=tracing)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=CORS_ALLOWS,
            expose_headers=CORS_EXPOSES,
        )


def document() -> dict[str, Any]:
    """The published document, for which no setting is needed."""
    return docs.document_of(_routed())


def _routed() -> FastAPI:
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        lifespan=_lifespan,
        openapi_url=None,  # docs.serve publishes the document
        redirect_slashes=False,
        # Of no use without an exporter, but asked for at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for module in (catalog, satker, mapping, history, admin, health):
        # Each has what include_router would build anew for all of them, at the first request: 25 ms.
        app.router.routes.extend(module.router.routes)
    docs.serve(app)
    _handle_problems(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: Context = app.state.context
    every: float | None = app.state.settle_every
    tasks = [asyncio.create_task(keep_settling(context, every))] if every else []
    if context.metrics.shared:
        tasks.append(asyncio.create_task(app.state.observatory.keep_sampling()))
    async with app.state.beside(app):
        yield
    for task in tasks:
        task.cancel()  # what settling was doing is as after a crash: any other round takes it up
    if tasks:
        await asyncio.wait(tasks)
    if app.state.jwks is not None:
        await app.state.jwks.aclose()
    await close(context)
    if app.state.tracing:
        await app.state.tracing.aclose()


def make_context(
    settings: Settings,
    mbiz_transport: httpx.AsyncBaseTransport | None = None,
    tracing: Tracing | None = None,
) -> Context:
    """What the use cases need, for the service and for commands alike; end it with `close`."""
    secrets = [secret.get_secret_value() for secret in settings.mbiz_client_secret]
    database = Database(settings.database_url)
    reader = Reader(database)
    metrics = Metrics()
    watch = tracing.around(metrics.watch) if tracing else metrics.watch
    return Context(
        database=database,
        reader=reader,
        lookup=Lookup(reader),
        mbiz=Mbizmarket(
            settings.mbiz_url, settings.mbiz_client_id, secrets, transport=mbiz_transport, watch=watch
        ),
        digests=Digests(settings.app_secret),
        throttle=Throttle(storage_for(settings.rate_limit_storage), metrics.throttled),
        metrics=metrics,
        settings=settings,
        crash=CrashPoint(settings.crash_at),
    )


async def close(context: Context) -> None:
    await context.throttle.aclose()
    await context.mbiz.aclose()
    await context.reader.aclose()
    await context.database.dispose()


def _handle_problems(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return respond(problem, request)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        return respond(validation_problem(error.errors()), request)

    @app.exception_handler(DatabaseUnavailable)
    async def _database(request: Request, _error: DatabaseUnavailable) -> Response:
        return respond(DatabaseAway(retry_after=DatabaseAway.RETRY), request)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        match error.status_code:
            case 405:
                return respond(MethodNotAllowed(headers={"Allow": _allowed(app, request)}), request)
            case 404:
                return respond(NotFound(), request)
            case _:  # all that is left of the framework's own: a body that is not UTF-8 or not JSON at all
                return respond(MalformedBody(), request)


def _allowed(app: FastAPI, request: Request) -> str:
    """Every method of the path; the framework names those of its first route alone."""
    scope = {**request.scope, "root_path": ""}  # a mount has put its own prefix there
    methods: set[str] = set()
    for route in app.routes:
        if route.matches(scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or {"GET", "HEAD"}  # a mount serves files
    return ", ".join(sorted(methods))
