"""The published document: valid, fresh, complete, and held against every answer of every test."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import validate

from tests.described import Described, answers, document
from tests.service import Service
from tests.test_errors import kinds

ROOT = Path(__file__).parent.parent
DOCUMENT = document()
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
# Of paths and methods that no operation describes.
NOWHERE = {"not_found", "method_not_allowed"}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, described in DOCUMENT["paths"].items():
        for method, operation in described.items():
            yield f"{method.upper()} {path}", operation


OPERATIONS = dict(operations())
OF_THE_API = {name: operation for name, operation in OPERATIONS.items() if " /v1/" in name}


def codes(operation: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for answer in answers(operation).values():
        problem = answer.get("content", {}).get("application/problem+json", {}).get("schema", {})
        found.update(problem.get("properties", {}).get("code", {}).get("enum", ()))
    return found


def test_validating_the_document() -> None:
    """It is valid OpenAPI."""
    validate(DOCUMENT)


def test_exporting_the_document(tmp_path: Path) -> None:
    """The file in the repository says what the code says; `python -m app openapi` writes it, without any setting."""
    command = [sys.executable, "-m", "app", "openapi"]
    exported = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, check=True).stdout
    assert (ROOT / "openapi" / "service.json").read_bytes() == exported


def test_starting_without_the_document() -> None:
    """What writes it is imported when somebody asks: until then a worker neither makes nor holds any of it."""
    start = "import sys, app.main as main; main._routed(); print([m for m in sys.modules if 'app.published' in m])"
    command = [sys.executable, "-c", start]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


@pytest.mark.anyio
async def test_fetching_the_document(shared_service: Service) -> None:
    """The service publishes the same, to whoever asks."""
    answer = await shared_service.http.get("/openapi.json", headers={"Authorization": ""})
    assert DOCUMENT == answer.json()


def test_naming_operations() -> None:
    """Each has a name of its own, a summary, a description and one tag."""
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert sorted(set(names)) == sorted(names)
    for operation in OPERATIONS.values():
        assert re.fullmatch("[a-z]+([A-Z][a-z]+)*", operation["operationId"])
        assert operation["summary"]
        assert operation["description"]
        assert 1 == len(operation["tags"])


def test_reading_in_the_order_of_the_flow() -> None:
    """Tags are described, and come as the flow does; so do the operations."""
    tags = [tag["name"] for tag in DOCUMENT["tags"]]
    assert ["Katalog", "Satker", "Mapping", "Riwayat", "Operator", "Operations"] == tags
    used = [operation["tags"][0] for operation in OPERATIONS.values()]
    assert tags == list(dict.fromkeys(used))
    assert sorted(used, key=tags.index) == used


def test_describing_everything_that_is_sent() -> None:
    """No parameter and no schema is left to guessing; a parameter is of one type."""
    for name, operation in OPERATIONS.items():
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], (name, parameter["name"])
            assert parameter["schema"]["type"] != "null", (name, parameter["name"])
    assert [] == [name for name, schema in SCHEMAS.items() if not schema.get("description")]


def test_naming_the_version() -> None:
    """The document's version is the package's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == DOCUMENT["info"]["version"]
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", OF_THE_API)
def test_describing_what_every_call_may_answer(name: str) -> None:
    """All of the API may answer these; what takes a body, three more. A role is not what opens the operators' paths."""
    everywhere = {
        *("unauthenticated", "validation_failed", "rate_limited", "internal_error", "database_unavailable"),
        "not_found" if " /v1/admin/" in name else "role_not_allowed",
    }
    with_body = {"malformed_body", "body_too_large", "unsupported_media_type"}
    described = codes(OF_THE_API[name])
    assert set() == everywhere - described
    assert (with_body if "requestBody" in OF_THE_API[name] else set()) == described & with_body
    assert OF_THE_API[name]["security"]


@pytest.mark.parametrize("name", OF_THE_API)
def test_describing_headers(name: str) -> None:
    """Retry-After where a retry makes sense, WWW-Authenticate on 401."""
    responses = answers(OF_THE_API[name])
    assert "WWW-Authenticate" in responses["401"]["headers"]
    for status in {"202", "429", "503"} & set(responses):
        assert "Retry-After" in responses[status]["headers"]


def test_opening_the_open_paths() -> None:
    """What needs no token says so; everything else needs the portal's."""
    assert ["portalToken"] == list(DOCUMENT["components"]["securitySchemes"])
    for name, operation in OPERATIONS.items():
        assert operation["security"] == ([{"portalToken": []}] if " /v1/" in name else []), name


def test_describing_every_problem() -> None:
    """Whatever the code can raise is published somewhere, and nothing else is."""
    published = {code for operation in OPERATIONS.values() for code in codes(operation)}
    assert {kind.code for kind in kinds()} == published | NOWHERE


def test_describing_no_answer_of_the_frameworks_own() -> None:
    """Its 422 is never sent, and no problem is plain JSON."""
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)
    for name, operation in OF_THE_API.items():
        for status, answer in answers(operation).items():
            kind = "application/problem+json" if int(status) >= 400 else "application/json"
            assert set(answer.get("content", {kind: {}})) == {kind}, (name, status)


ANSWERED = [name for name, schema in SCHEMAS.items() if name.endswith("Out") and "properties" in schema]


@pytest.mark.parametrize("name", [name for name in ANSWERED if name != "ProblemOut"])
def test_describing_what_is_answered(name: str) -> None:
    """Every member is always there; what may be unknown is null."""
    assert sorted(SCHEMAS[name]["properties"]) == sorted(SCHEMAS[name]["required"])


@pytest.mark.parametrize("name", [name for name in SCHEMAS if name.endswith(("In", "Patch"))])
def test_describing_what_is_sent(name: str) -> None:
    """What is not named is refused."""
    assert SCHEMAS[name]["additionalProperties"] is False


HEAD = {
    "Content-Type": "application/json",
    "X-Request-Id": "r",
    "Content-Language": "id",
    "Vary": "Accept-Language",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
PAGE = {"items": [], "page": 1, "size": 10, "total": 0, "pages": 0}
PROBLEM = {"type": "urn:x:unauthenticated", "title": "t", "status": 401, "code": "unauthenticated"}
REFUSED = HEAD | {"Content-Type": "application/problem+json", "WWW-Authenticate": "Bearer"}


async def ask(answer: httpx.Response) -> None:
    wire = Described(httpx.MockTransport(lambda _request: answer))
    async with httpx.AsyncClient(transport=wire, base_url="http://api") as http:
        await http.get("/v1/satkers")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json=PAGE, headers=HEAD),
        httpx.Response(401, json=PROBLEM | {"request_id": "r"}, headers=REFUSED),
    ],
    ids=["a page", "a problem"],
)
async def test_an_answer_as_described(answer: httpx.Response) -> None:
    """Every test lets it pass."""
    await ask(answer)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(418, json=PAGE, headers=HEAD),
        httpx.Response(200, json=PAGE | {"more": 1}, headers=HEAD),
        httpx.Response(200, json=PAGE | {"page": "1"}, headers=HEAD),
        httpx.Response(200, json={"items": []}, headers=HEAD),
        httpx.Response(200, json=PAGE, headers=HEAD | {"Content-Type": "text/html"}),
        httpx.Response(200, json=PAGE, headers=HEAD | {"Cache-Control": "public"}),
        httpx.Response(200, json=PAGE, headers=HEAD | {"Vary": "Origin"}),
        httpx.Response(401, json=PROBLEM, headers=REFUSED),
        httpx.Response(401, json=PROBLEM | {"request_id": "other"}, headers=REFUSED),
        httpx.Response(401, json=PROBLEM | {"request_id": "r", "input": "x"}, headers=REFUSED),
        httpx.Response(401, json=PROBLEM | {"request_id": "r", "code": "not_found"}, headers=REFUSED),
        httpx.Response(401, json=PROBLEM | {"request_id": "r"}, headers=HEAD),
    ],
    ids=[
        *("status", "member", "kind of value", "member missing", "media type", "caching", "vary"),
        *("no request id", "another request id", "input repeated", "another code", "no challenge"),
    ],
)
async def test_an_answer_that_is_not_described(answer: httpx.Response) -> None:
    """No test lets it pass."""
    with pytest.raises((AssertionError, KeyError)):
        await ask(answer)
