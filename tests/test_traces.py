"""Traces: from the caller through the service to mbizmarket, as a real OTLP collector over HTTP receives them."""

import gzip
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from app.main import create_app
from app.mbiz.sandbox import create_sandbox
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.canary import PASSWORD
from tests.conftest import fill_catalog
from tests.service import Service, bearer, settings_for
from tests.test_logs import Running, environment, free_port

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
CANARY = "kanari-55aa"


class Collector(ThreadingHTTPServer):
    """What exporters speak to: keeps the bodies that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collecting)
        self.received: list[bytes] = []
        self.paths: set[str] = set()
        self._thread = threading.Thread(target=self.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[Any]:
        exports = [ExportTraceServiceRequest.FromString(body) for body in self.received]
        return [
            span
            for export in exports
            for resource in export.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


class _Collecting(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.paths.add(self.path)
        self.server.received.append(
            gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        )
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Overheard(httpx.AsyncBaseTransport):
    """The wire to mbizmarket, and what went over it."""

    def __init__(self, wire: httpx.AsyncBaseTransport) -> None:
        self._wire = wire
        self.said: list[tuple[str, str | None]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.said.append((request.url.path, request.headers.get("traceparent")))
        return await self._wire.handle_async_request(request)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


async def log_in(url: str, folder: Path, headers: dict[str, str], **settings: Any) -> tuple[Overheard, str]:
    """A log in as somebody with a canary in everything; what mbizmarket heard, and the satker's id."""
    market = create_sandbox(folder / "mbizmarket.db", client_id="satu-pp", client_secret="client-secret")
    wire = Overheard(httpx.ASGITransport(market))
    app = create_app(settings_for(url, **settings), mbiz_transport=wire)
    async with (
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://api", headers=bearer(name=CANARY)
        ) as http,
        httpx.AsyncClient(transport=httpx.ASGITransport(market), base_url="http://127.0.0.1:9") as mbiz,
        app.router.lifespan_context(app),
    ):
        service = Service(app, app.state.context, http, mbiz)
        satker_id = await service.add((await fill_catalog(service.database))[0])
        await service.make_account(f"{CANARY}@lain.example", f"PT {CANARY}")
        wire.said.clear()
        answer = await http.post(
            f"/v1/satkers/{satker_id}/mapping/login",
            json={"email": f"{CANARY}@lain.example", "password": PASSWORD},
            headers={"X-Request-Id": "r-1", **headers},
        )
        assert 201 == answer.status_code
        await http.get(f"/v1/satkers?q={CANARY}")
        await http.get(f"/v1/{CANARY}")
    return wire, satker_id


def attributes(span: Any) -> dict[str, Any]:
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
        for pair in span.attributes
    }


@pytest.mark.anyio
async def test_tracing_a_log_in(sqlite_url: str, tmp_path: Path, collector: Collector) -> None:
    """The caller's trace goes on here, and from each call's own span to mbizmarket."""
    wire, satker_id = await log_in(
        sqlite_url, tmp_path, {"traceparent": TRACEPARENT}, otel_exporter_otlp_endpoint=collector.url
    )
    spans = collector.spans()
    ours = {span.name: span for span in spans if span.trace_id.hex() == TRACE}
    request = ours["POST /v1/satkers/{satker_id}/mapping/login"]
    call, token = ours["mbizmarket login"], ours["mbizmarket token"]

    assert {"/v1/traces"} == collector.paths
    assert CALLER == request.parent_span_id.hex()
    assert (request.span_id, call.span_id) == (call.parent_span_id, token.parent_span_id)
    assert ("/v1/login", f"00-{TRACE}-{call.span_id.hex()}-01") in wire.said
    assert {
        "http.request.method": "POST",
        "http.route": "/v1/satkers/{satker_id}/mapping/login",
        "http.response.status_code": 201,
        "satu_pp.outcome": "ok",
        "satu_pp.request_id": "r-1",
    } == attributes(request)
    assert {"satu_pp.outcome": "ok"} == attributes(call)
    others = {
        span.name: attributes(span)["satu_pp.outcome"] for span in spans if span.trace_id.hex() != TRACE
    }
    assert {"POST /v1/satkers": "ok", "GET /v1/satkers": "ok", "GET": "not_found"} == others
    everything = b"".join(collector.received)
    assert [] == [word for word in (CANARY, PASSWORD, satker_id, "pp-1", "q=") if word.encode() in everything]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("given", "passed_on"),
    [
        (TRACEPARENT, TRACEPARENT),
        ("", None),
        (f"{TRACEPARENT}; {CANARY}", None),
        (CANARY, None),
        (TRACEPARENT.upper(), None),
    ],
)
async def test_passing_a_trace_on(sqlite_url: str, tmp_path: Path, given: str, passed_on: str | None) -> None:
    """Where nothing is traced here, mbizmarket still hears of the caller's trace, and of nothing else in its place."""
    wire, _ = await log_in(sqlite_url, tmp_path, {"traceparent": given})
    assert ("/v1/login", passed_on) in wire.said


def test_serving_without_traces(sqlite_url: str) -> None:
    """Neither OpenTelemetry's SDK nor its exporter is even imported; FastAPI brings the API."""
    look = (
        "import sys; from app.serving import app_alone; app_alone(); "
        "print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', 'google'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look],
        env=environment(sqlite_url),
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "[]\n" == done.stdout


def test_serving_while_the_collector_is_away(sqlite_url: str, tmp_path: Path) -> None:
    """Requests are not held up by it, nor is the stop; the log line has the trace to look for."""
    service = Running(
        sqlite_url,
        tmp_path,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        APP_ENV="development",
    )
    try:
        service.await_ready()
        answer = httpx.get(
            f"{service.url}/v1/satkers",
            headers={**bearer(), "traceparent": TRACEPARENT},
            trust_env=False,
            timeout=60,
        )
        assert 200 == answer.status_code
    finally:
        began = time.monotonic()
        status = service.stop()
    assert status in (0, -15)
    assert time.monotonic() - began < 15
    assert f'"trace_id": "{TRACE}"' in service.out.read_text()
    assert "Traceback" not in service.err.read_text()


def test_a_service_of_its_own_tells_the_collector(
    sqlite_url: str, tmp_path: Path, collector: Collector
) -> None:
    """What is left is handed over when the process stops."""
    service = Running(sqlite_url, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=f"{collector.url}/")
    try:
        service.await_ready()
        httpx.get(f"{service.url}/v1/satkers?q={CANARY}", headers=bearer(), trust_env=False, timeout=60)
    finally:
        service.stop()
    assert "GET /v1/satkers" in {span.name for span in collector.spans()}
    assert CANARY.encode() not in b"".join(collector.received)
