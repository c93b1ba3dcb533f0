"""The house rules that a machine can hold: who may import whom, and how long things get."""

import ast
import graphlib
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

APP = Path(__file__).parent.parent / "app"

# Imports run downward or stay on their floor. The first line that fits a module of app/ says where it lives.
FLOORS = {
    "__main__ cli demo portal serving worker lean": 7,
    "main": 6,
    "*.routes health docs shortway": 5,
    "deps edge openapi published published.*": 4,
    "models auth *.schemas": 2,
    # Use cases and stores: all but the schemas, which the line above took.
    "mapping.* satker.* catalog.* history.* admin.* privacy invariants figures doctor startup": 3,
    "settings db held hosts problems fields emails keys address cursors logs crash mbiz mbiz.*": 1,
    "throttle budgets shared": 1,
    "tables aio metrics tracing protocol direct waiting wording": 1,
}

# Who may name what. keys fetches the portal's; main names httpx for the type of the transport that tests hand in.
OWNERS = {
    "fastapi": "main lean serving *.routes health deps docs published.document",
    "starlette": "main edge deps problems shortway serving mbiz.sandbox.*",
    "httpx": "main keys mbiz.*",
    "jose": "auth lean",
    "limits": "shared",
    "redis": "shared",
    "prometheus_client": "metrics",
    "opentelemetry": "tracing",
    "alembic": "startup",
    "app.mbiz.sandbox": "demo mbiz.sandbox mbiz.sandbox.*",
}

# Modules over 300 lines and functions over 40, each with its reason.
LONG = {
    "problems": "a catalogue: one class for each problem, in two languages",
    "mapping.transitions": "every change of a state and its history row, on one page",
}


def name(path: Path) -> str:
    """As in the tables: without `app.`, a package by its own name."""
    return ".".join(part for part in path.relative_to(APP).with_suffix("").parts if part != "__init__")


TREES = {name(path): ast.parse(path.read_text()) for path in sorted(APP.rglob("*.py")) if name(path)}


def imported(tree: ast.AST) -> set[str]:
    """Modules by their full names, wherever in the file; `from app import db` is app.db."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import hides where a module lives"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update({full for full in inner if full.removeprefix("app.") in TREES} or {str(node.module)})
    return names


IMPORTS = {module: imported(tree) for module, tree in TREES.items()}
OURS = {module: {full[4:] for full in names if full.startswith("app.")} for module, names in IMPORTS.items()}


def fits(module: str, patterns: str) -> bool:
    return any(fnmatchcase(module, pattern) for pattern in patterns.split())


def floor(module: str) -> int:
    for patterns, floor in FLOORS.items():
        if fits(module, patterns):
            return floor
    pytest.fail(f"app.{module} is on none of the FLOORS: give it a place")


@pytest.mark.parametrize("module", [module for module, tree in TREES.items() if tree.body])
def test_imports_run_downward(module: str) -> None:
    """Nothing imports from a floor above its own, and every module lives somewhere."""
    own = floor(module)

    assert [] == [other for other in sorted(OURS[module]) if floor(other) > own]


def test_no_two_modules_need_each_other() -> None:
    """A circle is one module in pieces. Only the command line's commands may reach back to it, when called."""
    order = graphlib.TopologicalSorter({module: names for module, names in OURS.items() if module != "cli"})

    assert set(OURS) == set(order.static_order())


def test_the_adapter_could_be_published_tomorrow() -> None:
    """mbiz imports nothing of ours."""
    inside = {module: names for module, names in OURS.items() if fits(module, "mbiz mbiz.*")}

    assert "mbiz.errors" in inside["mbiz.client"]
    assert [] == [other for names in inside.values() for other in names if not fits(other, "mbiz mbiz.*")]


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_is_named_by_its_owners_alone(library: str) -> None:
    """What may be replaced one day stands in few places; and every place in the table is still one."""
    users = [
        module for module, names in IMPORTS.items() if any(f"{n}.".startswith(f"{library}.") for n in names)
    ]

    assert [] == [module for module in users if not fits(module, OWNERS[library])]
    assert [] == [owner for owner in OWNERS[library].split() if not any(fits(user, owner) for user in users)]


def test_migrating_alone_pays_for_alembic() -> None:
    """It takes 120 ms to import: no other command waits for it."""
    at_import = {
        full
        for module in ("cli", "startup")
        for node in TREES[module].body
        if not isinstance(node, ast.FunctionDef)
        for full in imported(node)
    }

    assert "app.settings" in at_import
    assert not any(full.startswith("alembic") for full in at_import)


def test_what_is_long_has_a_reason() -> None:
    """Modules stay within 300 lines and functions within 40; a reason that is no longer needed goes."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = {module for module, tree in TREES.items() if tree.body and end(tree.body[-1]) > 300}
    long |= {
        f"{module}.{node.name}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, functions) and end(node) - node.lineno >= 40
    }

    assert set(LONG) == long


def end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def test_pages_that_name_a_test() -> None:
    """What docs say is shown by a test is shown by one that is there."""
    files = list(Path(__file__).parent.rglob("test_*.py"))
    there = {word for file in files for word in re.findall(r"\btest_\w+", f"{file.name} {file.read_text()}")}
    pages = (APP.parent / "docs").rglob("*.md")
    named = {word for page in pages for word in re.findall(r"\btest_\w+", page.read_text())}

    assert named
    assert set() == {word for word in named if not any(one.startswith(word) for one in there)}
