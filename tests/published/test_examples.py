"""Every body and every answer has examples, and each is what the document says of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from app.problems import MESSAGES
from jsonschema import Draft202012Validator

from tests.described import answers, document

Example = tuple[str, dict[str, Any], Any]  # where it stands, its schema, its value


def contents() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(place, media type, what is said of it) of every body and every answer that has one."""
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            for kind, media in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{name} body", kind, media
            for status, answer in answers(operation).items():
                for kind, media in answer.get("content", {}).items():
                    yield f"{name} {status}", kind, media


CONTENTS = [(place, media) for place, kind, media in contents() if kind.endswith("json")]


def closed(node: Any) -> Any:
    """The same, with every member refused that it does not name."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {key: closed(value) for key, value in node.items()}
    strict = isinstance(node.get("properties"), dict) and "type" in node and "allOf" not in node
    return inner | {"additionalProperties": False} if strict else inner


COMPONENTS = {"components": {"schemas": closed(document()["components"]["schemas"])}}


@pytest.mark.parametrize(("place", "media"), CONTENTS, ids=[place for place, _ in CONTENTS])
def test_reading_an_example(place: str, media: dict[str, Any]) -> None:
    """It fits its schema, exactly."""
    validator = Draft202012Validator(
        {**media["schema"], **COMPONENTS}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    assert media["examples"], place
    for name, example in media["examples"].items():
        faults = [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(example["value"])]
        assert [] == faults, (place, name)


def test_reading_every_step_and_every_status() -> None:
    """Whatever `entry` and the mapping can say is shown once."""
    schemas = document()["components"]["schemas"]
    steps = set(schemas["EntryOut"]["discriminator"]["mapping"])
    shown = {place: [one["value"] for one in media["examples"].values()] for place, media in CONTENTS}
    entry = shown["POST /v1/satkers/{satker_id}/entry 200"]
    assert steps == {example["next_step"] for example in entry}
    mapping = shown["GET /v1/satkers/{satker_id}/mapping 200"]
    assert {"unmapped", "checking", "mapped", "mapped_by_other"} == {one["status"] for one in mapping}


def test_reading_the_example_of_a_problem() -> None:
    """Each code of a status has one, and the fields in it are those of its operation."""
    for place, media in CONTENTS:
        enum = media["schema"].get("properties", {}).get("code", {}).get("enum")
        if enum is None:
            continue
        assert enum == list(media["examples"]), place
        for code, example in media["examples"].items():
            assert code == example["value"]["code"], place
            named = {error["code"] for error in example["value"].get("errors", ())}
            assert named <= set(MESSAGES), place
            assert bool(named) == (code in ("validation_failed", "mbiz_rejected")), (place, code)


def test_the_size_of_the_document() -> None:
    """It is fetched by people on slow lines: what several operations answer alike stands once."""
    assert len(json.dumps(document(), separators=(",", ":"))) < 150_000
