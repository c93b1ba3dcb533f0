"""Traces, where OTEL_EXPORTER_OTLP_ENDPOINT is set: a span for each request, and in it one for each call to mbizmarket.

A span has the route's template, the outcome and our request id: no path, no query, no body, no person. The only user of
OpenTelemetry, which is imported when it is needed: it takes memory and a tenth of a second.
"""

import asyncio
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from app.mbiz.errors import MbizError
from app.mbiz.watch import Watch
from app.mbiz.wire import Call

SERVICE = "satu-pp-multi-satker"
TIMEOUT = 3.0  # seconds for handing spans to the collector, at the end of the process too


class Tracing:
    def __init__(self, endpoint: str) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": SERVICE}), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=TIMEOUT)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer(SERVICE)

    async def aclose(self) -> None:
        """Hands over what is left, for a moment."""
        try:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.to_thread(self._provider.shutdown)
        except TimeoutError:
            pass

    @contextmanager
    def request(self, scope: MutableMapping[str, Any], traceparent: str) -> Iterator[None]:
        """Around a request, as a part of the caller's trace where there is one."""
        state = scope["state"]
        with self._tracer.start_as_current_span(
            "request",
            context=self._propagator.extract({"traceparent": traceparent}),
            kind=self._trace.SpanKind.SERVER,
            record_exception=False,  # a message may quote what was sent
            set_status_on_exception=False,
        ) as span:
            state["trace_id"] = f"{span.get_span_context().trace_id:032x}"
            try:
                yield
            finally:
                route = getattr(scope.get("route"), "path", None)
                span.update_name(f"{scope['method']} {route}" if route else scope["method"])
                span.set_attributes(
                    {
                        "http.request.method": scope["method"],
                        **({"http.route": route} if route else {}),
                        "http.response.status_code": state.get("status", 0),
                        "satu_pp.outcome": state.get("outcome", "cut"),
                        "satu_pp.request_id": state["request_id"],
                    }
                )
                if state.get("status", 0) >= 500:
                    span.set_status(self._trace.StatusCode.ERROR)

    def around(self, inner: Watch) -> Watch:
        """A watch that gives each call to mbizmarket a span, whose context the call carries there."""

        @contextmanager
        def watch(kind: str, call: Call) -> Iterator[Call]:
            with self._tracer.start_as_current_span(
                f"mbizmarket {kind}",
                kind=self._trace.SpanKind.CLIENT,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                carrier: dict[str, str] = {}
                self._propagator.inject(carrier)
                outcome = "cut"
                try:
                    with inner(kind, replace(call, traceparent=carrier.get("traceparent"))) as told:
                        yield told
                    outcome = "ok"
                except MbizError as error:
                    outcome = error.outcome
                    raise
                finally:
                    span.set_attribute("satu_pp.outcome", outcome)

        return watch
