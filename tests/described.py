"""Lets no answer of the service pass that its published document does not describe, in any test."""

import copy
import json
import re
from functools import cache
from typing import Any

import httpx
from app import main
from jsonschema import Draft202012Validator

from tests import canary

# What a caller may hear of paths and methods that no operation is about.
ELSEWHERE = {
    "malformed_body",
    "unauthenticated",
    "role_not_allowed",
    "not_found",
    "method_not_allowed",
    "body_too_large",
    "unsupported_media_type",
    "rate_limited",
    "internal_error",
}


@cache
def document() -> dict[str, Any]:
    return main.document()


class Described(httpx.AsyncBaseTransport):
    """A wire to the service that raises AssertionError for an answer that is not as published."""

    def __init__(self, wire: httpx.AsyncBaseTransport) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._wire.handle_async_request(request)
        await answer.aread()
        if "Access-Control-Request-Method" not in request.headers:
            check(request.method, request.url.path, answer)
        return answer


def check(method: str, path: str, answer: httpx.Response) -> None:
    """Raises AssertionError, saying what the document does not describe."""
    where = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
    assert not canary.is_in(answer.content + repr(answer.headers.raw).encode()), f"a password: {where}"
    _check_headers(path, answer, where)
    operation = _operation(method, path)
    if operation is not None:
        _check_described(operation, answer, where)
    elif answer.is_error:
        assert answer.json()["code"] in ELSEWHERE, where
    if answer.is_error and answer.headers["Content-Type"] == "application/problem+json":
        _check_problem(answer, where)


def _check_headers(path: str, answer: httpx.Response, where: str) -> None:
    headers = answer.headers
    assert len(headers.raw) == len({name.lower() for name, _ in headers.raw}), f"a header twice: {where}"
    assert re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", headers["X-Request-Id"]), where
    assert headers["Content-Language"] in ("id", "en"), where
    assert "Accept-Language" in headers["Vary"], where
    assert headers["X-Content-Type-Options"] == "nosniff", where
    assert (headers.get("Cache-Control") == "no-store") or not path.startswith("/v1"), where


def _check_problem(answer: httpx.Response, where: str) -> None:
    problem = answer.json()
    assert problem["status"] == answer.status_code, where
    assert problem["request_id"] == answer.headers["X-Request-Id"], where
    assert problem["type"].endswith(problem["code"]), where
    assert problem["code"] == "company_choice_required" or "companies" not in problem, where
    if answer.status_code in (429, 503) or problem["code"] == "link_in_progress":
        assert int(answer.headers["Retry-After"]) >= 1, where
    if answer.status_code == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer", where
    assert _validator(json.dumps(_problem())).is_valid(problem), where


def _problem() -> dict[str, Any]:
    """Exactly the published members; which problem may have more, its operation says."""
    return {"$ref": "#/components/schemas/ProblemOut"}


def _check_described(operation: dict[str, Any], answer: httpx.Response, where: str) -> None:
    described = answers(operation).get(str(answer.status_code))
    assert described is not None, f"undescribed status: {where}"
    missing = {name for name in described.get("headers", {}) if name not in answer.headers}
    assert not missing - {"Retry-After"}, f"missing {missing}: {where}"
    if "content" not in described:
        assert answer.content == b"", f"undescribed body: {where}"
        return
    kind = answer.headers["Content-Type"]
    assert kind in described["content"], f"undescribed type {kind}: {where}"
    schema = described["content"][kind]["schema"]
    closed = {**schema, "unevaluatedProperties": False} if "allOf" in schema else schema
    told = answer.text if kind.startswith("text/plain") else answer.json()
    faults = [fault.message for fault in _validator(json.dumps(closed)).iter_errors(told)]
    assert not faults, f"{faults}: {where}"


def answers(operation: dict[str, Any]) -> dict[str, Any]:
    """By status; those that several operations share are looked up."""
    shared: dict[str, Any] = document()["components"]["responses"]
    return {
        status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
        for status, answer in operation["responses"].items()
    }


def _operation(method: str, path: str) -> dict[str, Any] | None:
    found = [operations for pattern, operations in _paths() if pattern.fullmatch(path)]
    return next((operations[method.lower()] for operations in found if method.lower() in operations), None)


@cache
def _paths() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    """Those without parameters first, as the router has them."""
    paths: dict[str, Any] = document()["paths"]
    ordered = sorted(paths.items(), key=lambda item: item[0].count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations) for path, operations in ordered]


@cache
def _validator(schema: str) -> Draft202012Validator:
    whole = {**json.loads(schema), "components": {"schemas": _closed_schemas()}}
    return Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)


@cache
def _closed_schemas() -> dict[str, Any]:
    """The published schemas, with every member refused that they do not name."""
    schemas = copy.deepcopy(document()["components"]["schemas"])
    for name, schema in schemas.items():
        if "properties" in schema and name != "ProblemOut":
            schema["additionalProperties"] = False
    return schemas  # type: ignore[no-any-return]
