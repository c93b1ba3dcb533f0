"""The gate before a release: what breaks clients of the released document is named, what the contract allows is not."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.described import document
from tests.published.breaking import DOCUMENTS, OPENAPI, Comparison, load, main

Node = dict[str, Any]
Change = Callable[[Node], object]


def schema(name: str) -> Callable[[Node], Node]:
    return lambda changed: changed["components"]["schemas"][name]


def operation(method: str, path: str) -> Callable[[Node], Node]:
    return lambda changed: changed["paths"][path][method]


satker, mapping, register = schema("SatkerOut"), schema("MappingOut"), schema("RegisterIn")
satkers, get_satker = operation("get", "/v1/satkers"), operation("get", "/v1/satkers/{satker_id}")
entry, log_in = (operation("post", f"/v1/satkers/{{satker_id}}/{end}") for end in ("entry", "mapping/login"))


def parameter(operation: Node, name: str) -> Node:
    found: Node = next(one for one in operation["parameters"] if one["name"] == name)
    return found


def codes(operation: Node, status: str) -> list[str]:
    content = operation["responses"][status]["content"]["application/problem+json"]
    enum: list[str] = content["schema"]["properties"]["code"]["enum"]
    return enum


BREAKING: dict[str, Change] = {
    "GET /v1/klpd is gone": lambda d: d["paths"].pop("/v1/klpd"),
    "PATCH /v1/satkers/{satker_id} is gone": lambda d: d["paths"]["/v1/satkers/{satker_id}"].pop("patch"),
    "GET /v1/satkers: its operationId listSatkers is gone": lambda d: satkers(d).update(operationId="all"),
    "GET /healthz needs a token": lambda d: operation("get", "/healthz")(d).update(security=[{"x": []}]),
    "GET /v1/satkers: parameter q is gone": lambda d: parameter(satkers(d), "q").update(name="query"),
    "GET /v1/satkers: parameter q is required": lambda d: parameter(satkers(d), "q").update(required=True),
    "GET /v1/satkers: size: maximum is 50": lambda d: parameter(satkers(d), "size")["schema"].update(maximum=50),
    "GET /v1/satkers: size: its default was 10": lambda d: parameter(satkers(d), "size")["schema"].update(default=20),
    "GET /v1/satkers: sort: '-klpd_name' is gone": lambda d: parameter(satkers(d), "sort")["schema"]["enum"].pop(),
    "POST /v1/satkers/{satker_id}/entry: its body is required": lambda d: entry(d)["requestBody"].update(required=True),
    "body.phone is gone": lambda d: register(d)["properties"].pop("phone"),
    "body.nip is required": lambda d: (
        register(d)["properties"].update(nip={"type": "string"}),
        register(d)["required"].append("nip"),
    ),
    "body.password: minLength is 8": lambda d: register(d)["properties"]["password"].update(minLength=8),
    "body.contact_name: pattern is ^x": lambda d: register(d)["properties"]["contact_name"].update(pattern="^x"),
    "body.company_id: null is gone": lambda d: schema("LogInIn")(d)["properties"]["company_id"].update(
        anyOf=[{"type": "string"}]
    ),
    "body.company.address.city is gone": lambda d: schema("AddressIn")(d)["properties"].pop("city"),
    "GET /v1/satkers/{satker_id}: answer 304 is gone": lambda d: get_satker(d)["responses"].pop("304"),
    "GET /v1/satkers/{satker_id}: it answers 206, which no client expects": lambda d: get_satker(d)["responses"].update(
        {"206": {"description": "x"}}
    ),
    "GET /v1/satkers/{satker_id}: header ETag of 200 is gone": lambda d: (
        get_satker(d)["responses"]["200"]["headers"].pop("ETag")
    ),
    "200.items[].satker_name is gone": lambda d: satker(d)["properties"].pop("satker_name"),
    "200.items[].satker_name may be absent": lambda d: satker(d)["required"].remove("satker_name"),
    "200.items[].satker_name: it may be null": lambda d: satker(d)["properties"].update(
        satker_name={"anyOf": [{"type": "string"}, {"type": "null"}]}
    ),
    "200.items[].is_primary: boolean is gone": lambda d: satker(d)["properties"].update(is_primary={"type": "string"}),
    "200.items[].created_at: its format was date-time": lambda d: satker(d)["properties"]["created_at"].pop("format"),
    "200.status: 'checking' is gone": lambda d: mapping(d)["properties"]["status"]["enum"].remove("checking"),
    "200: wait is gone": lambda d: schema("EntryOut")(d)["oneOf"].pop(),
    "200.redirect_url is gone": lambda d: schema("OpenMbizmarketOut")(d)["properties"].pop("redirect_url"),
    "409.code: 'no_active_company' is gone": lambda d: codes(log_in(d), "409").remove("no_active_company"),
    "401.request_id is gone": lambda d: schema("ProblemOut")(d)["properties"].pop("request_id"),
    "GET /v1/satkers: 200 is application/json no longer": lambda d: satkers(d)["responses"]["200"].update(content={}),
}  # fmt: skip
ALLOWED: dict[str, Change] = {
    "an operation": lambda d: d["paths"].update({"/v1/new": copy.deepcopy(d["paths"]["/v1/klpd"])}),
    "a parameter": lambda d: satkers(d)["parameters"].append({"in": "query", "name": "x", "schema": {}}),
    "a field of an answer": lambda d: satker(d)["properties"].update(more={"type": "string"}),
    "a field that may be sent": lambda d: register(d)["properties"].update(nip={"type": "string"}),
    "a status of the mapping": lambda d: mapping(d)["properties"]["status"]["enum"].append("suspended"),
    "a step": lambda d: (
        d["components"]["schemas"].update(New={"type": "object", "properties": {"next_step": {"const": "call_us"}}}),
        schema("EntryOut")(d)["oneOf"].append({"$ref": "#/components/schemas/New"}),
    ),
    "a code": lambda d: codes(log_in(d), "409").append("company_merging"),
    "a problem": lambda d: satkers(d)["responses"].update({"451": {"description": "x"}}),
    "more than was taken": lambda d: register(d)["properties"]["password"].update(maxLength=512),
    "null no longer": lambda d: satker(d)["properties"].update(satker_code={"type": "string"}),
    "other words": lambda d: satkers(d).update(summary="x", description="y", tags=["z"]),
}  # fmt: skip


def found(change: Change) -> list[str]:
    changed = copy.deepcopy(document())
    change(changed)
    return list(Comparison(document(), changed).breaks())


@pytest.mark.parametrize("expected", BREAKING)
def test_breaking_clients(expected: str) -> None:
    """It is named, with the place and what is no longer so."""
    named = found(BREAKING[expected])
    assert [line for line in named if line.endswith(expected)], named


@pytest.mark.parametrize("addition", ALLOWED)
def test_adding(addition: str) -> None:
    """What the contract's evolution allows passes."""
    assert [] == found(ALLOWED[addition])


def test_nothing_breaks_clients_of_the_released_documents(capsys: pytest.CaptureFixture[str]) -> None:
    """Both of ours are compared with what was released; `make check` does the same."""
    assert set(DOCUMENTS) == {path.name for path in (OPENAPI / "released").iterdir()}
    assert (0, "") == (main(), capsys.readouterr().err)


def test_breaking_the_partner_document() -> None:
    """The gate reads mbizmarket's document as well."""
    released = load(OPENAPI / "released" / "mbizmarket-partner.yaml")
    changed = copy.deepcopy(released)
    del changed["components"]["schemas"]["Company"]["properties"]["status"]
    named = list(Comparison(released, changed).breaks())
    assert "GET /v1/companies/{company_id}: 200.status is gone" in named
