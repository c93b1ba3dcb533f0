"""What is said to people and to integrators: nothing is missing, in either language."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app.problems import MESSAGES, Problem, message, validation_problem

from tests.described import document
from tests.mbiz.partner_document import load_document

ROOT = Path(__file__).parents[2]
KINDS = Problem.__subclasses__()
# The front end's words: a PP meets no others.
FOREIGN = re.compile(
    r"\b(satker|company|mapping|password|login|email|error|server|request|klpd)\b", re.IGNORECASE
)


def test_reading_the_page_of_problems() -> None:
    """It says what the code says."""
    command = [sys.executable, "-m", "app.published.problems"]
    written = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, check=True).stdout
    assert written.decode() == (ROOT / "openapi" / "problems.md").read_text()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_reading_a_problem(kind: type[Problem]) -> None:
    """Four texts, none borrowed from another: for people in two languages, and when and what to do for integrators."""
    for text in ("id", "en", "when", "do"):
        assert re.fullmatch(r"[A-Z`m].+\.", vars(kind)[text]), text
    others = [vars(other)[text] for other in KINDS if other is not kind for text in ("id", "en", "when")]
    assert not {kind.id, kind.en, kind.when} & set(others)
    assert kind.id != kind.en
    assert not FOREIGN.search(kind.id)


@pytest.mark.parametrize("code", MESSAGES)
def test_reading_the_message_of_a_field(code: str) -> None:
    """Each has a sentence of its own in both languages."""
    indonesian, english = message(code, "id"), message(code, "en")
    assert indonesian != english
    assert [True, True] == [text.endswith(".") and len(text) > 5 for text in (indonesian, english)]
    assert 1 == sum(indonesian in texts for texts in MESSAGES.values())
    assert not FOREIGN.search(indonesian)


def codes_in_the_code() -> Iterator[str]:
    """Codes of fields, wherever app/ names one."""
    for path in (ROOT / "app").rglob("*.py"):
        source = path.read_text()
        yield from re.findall(r"_no\(\"(\w+)\"\)|PydanticCustomError\(\"(\w+)\"", source)
        yield from re.findall(r"invalid_field\([^,()]+, \"(\w+)\"\)", source)


def test_no_message_is_missing() -> None:
    """Whatever our validators, our routes and mbizmarket can say of a field has a text."""
    ours = {
        code
        for found in codes_in_the_code()
        for code in ([found] if isinstance(found, str) else found)
        if code
    }
    assert {"required", "unknown_field", "invalid_email", "control_characters"} <= ours
    theirs: list[str] = load_document()["components"]["schemas"]["FieldError"]["properties"]["code"]["enum"]
    assert set() == (ours | set(theirs)) - set(MESSAGES)


def test_what_pydantic_alone_has_a_name_for() -> None:
    """Its other kinds of error are `invalid`, so that none goes without a text."""
    errors: list[dict[str, Any]] = [{"type": "bool_parsing", "loc": ("query", "unlink")}]
    assert (("unlink", "invalid"),) == validation_problem(errors).faults


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("tidak_dikenal", "tidak_dikenal"),
        ("a" * 64, "a" * 64),
        ("a" * 65, "?"),
        ("<script>", "?"),
        ("", "?"),
        ("naïf", "?"),
    ],
)
def test_what_an_unknown_field_is_called(name: str, shown: str) -> None:
    """By its own name where that is a plain word of up to 64 characters; the document says so."""
    location = ("body", "company", "address", name)
    (field, code) = validation_problem([{"type": "extra_forbidden", "loc": location}]).faults[0]
    assert (f"company.address.{shown}", "unknown_field") == (field, code)
    described = document()["components"]["schemas"]["FieldErrorOut"]["properties"]["field"]
    assert len(field) <= described["maxLength"]
    assert "64 characters" in described["description"]
