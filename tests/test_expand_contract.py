"""Old and new versions run side by side on one schema: what a migration may do, and that the old one lives with it."""

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from app.db import Database
from sqlalchemy import Connection, MetaData, insert, select

from tests.service import Service
from tests.test_migrations import config, empty_url, fill  # noqa: F401 - a fixture

VERSIONS = Path(__file__).parent.parent / "migrations/versions"
FIRST_UNDER_THE_RULE = "0003"  # those before were made before anything ran

CONTRACTING = {"drop_table", "drop_column", "rename_table", "alter_column", "bulk_delete"}
CONTRACTING_SQL = re.compile(
    r"\b(DROP\s+(TABLE|COLUMN)|RENAME|TRUNCATE|DELETE\s+FROM|SET\s+NOT\s+NULL|ALTER\s+COLUMN\s+\w+\s+(SET\s+DATA\s+)?TYPE)\b",
    re.IGNORECASE,
)
ALLOWED_BY = (
    "CONTRACTS"  # a module constant that names the last version of the service that still used what goes
)

EXPANSION = """
from alembic import op
import sqlalchemy as sa

revision, down_revision = "9999", "{head}"
branch_labels = depends_on = None

def upgrade():
    op.create_table("next", sa.Column("id", sa.String, primary_key=True))
    op.add_column("pp_satker", sa.Column("note", sa.String, nullable=True))
    op.add_column("attempt", sa.Column("weight", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_pp_satker_note", "pp_satker", ["note"])
"""


def broken_rules(source: str) -> Iterator[str]:
    """What in a migration's `upgrade` the version before it could not live with."""
    tree = ast.parse(source)
    constants = {
        name.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for name in node.targets
        if isinstance(name, ast.Name)
    }
    if ALLOWED_BY in constants:
        return
    (upgrade,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "upgrade")
    for node in ast.walk(upgrade):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and CONTRACTING_SQL.search(node.value)
        ):
            yield node.value
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rpartition(".")[2]
        if called in CONTRACTING:
            yield called
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if called == "Column" and given.get("nullable") == "False" and "server_default" not in given:
            yield "a column that the old version does not fill"


@pytest.mark.parametrize(
    "path", [path for path in sorted(VERSIONS.glob("*.py")) if path.name >= FIRST_UNDER_THE_RULE] or [None]
)
def test_migrations_only_add(path: Path | None) -> None:
    """Unless they say which version was the last to use what goes: docs/deploying.md."""
    assert path is None or [] == list(broken_rules(path.read_text()))


@pytest.mark.parametrize(
    ("line", "broken"),
    [
        ('op.drop_column("attempt", "via")', 1),
        ('op.alter_column("attempt", "via", nullable=False)', 1),
        ('op.execute("ALTER TABLE attempt DROP COLUMN via")', 1),
        ('op.add_column("attempt", sa.Column("x", sa.String, nullable=False))', 1),
        ('op.add_column("attempt", sa.Column("x", sa.String, nullable=False, server_default=""))', 0),
        ('op.execute("CREATE INDEX x ON attempt (via)")', 0),
    ],
)
def test_what_the_rule_finds(line: str, broken: int) -> None:
    """It tells what adds from what takes away."""
    source = f"def upgrade():\n    {line}\n"
    assert broken == len(list(broken_rules(source)))
    assert [] == list(broken_rules(f'CONTRACTS = "0.1.0"\n{source}'))


def rows_of(
    connection: Connection, columns: dict[str, list[str]] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """All rows, reflected; only these columns of each table when given."""
    found = MetaData()
    found.reflect(connection)
    return {
        table.name: [
            dict(row._mapping)
            for row in connection.execute(
                select(*(table.c[name] for name in (columns or {}).get(table.name, table.c.keys())))
            )
        ]
        for table in found.sorted_tables
        if table.name != "alembic_version"
    }


async def with_connection(url: str, work: Any, *arguments: Any) -> Any:
    database = Database(url)
    try:
        async with database.begin() as tx:
            return await tx.run_sync(work, *arguments)
    finally:
        await database.dispose()


def put(connection: Connection, rows: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """Rows of a newer schema into an older one, without what it does not have; which columns it has."""
    found = MetaData()
    found.reflect(connection)
    for table in found.sorted_tables:
        kept = [
            {column.name: row[column.name] for column in table.c if column.name in row}
            for row in rows.get(table.name, [])
        ]
        if kept:
            connection.execute(insert(table), kept)
    return {table.name: list(table.c.keys()) for table in found.sorted_tables}


def test_rows_of_the_schema_before(empty_url: str) -> None:  # noqa: F811
    """All are there after the step to this version's, as they were."""
    scripts = ScriptDirectory.from_config(config(""))
    before = scripts.get_revision("head").down_revision
    command.upgrade(config(empty_url), "head")
    asyncio.run(fill(empty_url))
    rows = asyncio.run(with_connection(empty_url, rows_of))
    command.downgrade(config(empty_url), "base")

    command.upgrade(config(empty_url), str(before))
    columns = asyncio.run(with_connection(empty_url, put, rows))
    was = asyncio.run(with_connection(empty_url, rows_of, columns))
    command.upgrade(config(empty_url), "head")

    now = asyncio.run(with_connection(empty_url, rows_of, columns))
    assert sum(map(len, was.values())) >= 10
    assert was == {name: now[name] for name in was}


def with_the_next(url: str, folder: Path) -> Config:
    """This version's migrations, and one of a version to come."""
    made = config(url)
    head = ScriptDirectory.from_config(made).get_current_head()
    (folder / "9999_next.py").write_text(EXPANSION.format(head=head))
    made.set_main_option("path_separator", "newline")
    made.set_main_option("version_locations", f"{VERSIONS}\n{folder}")
    return made


@pytest.mark.anyio
async def test_the_next_schema_comes_while_this_version_runs(
    service: Service, database_url: str, tmp_path: Path
) -> None:
    """It goes on as if nothing were: each call that it answers before, during and after is a success."""
    assert [] == list(broken_rules(EXPANSION))
    done = asyncio.Event()
    answers: list[int] = []

    async def work(catalog_ids: list[str]) -> None:
        satkers = [await service.add(catalog_id) for catalog_id in catalog_ids]
        while not done.is_set() or len(answers) < 40:
            for satker in satkers:
                calls = [service.http.get(f"/v1/satkers/{satker}/mapping"), service.http.get("/v1/satkers")]
                calls.append(service.http.patch(f"/v1/satkers/{satker}", json={"is_primary": True}))
                answers.extend([(await call).status_code for call in calls])

    working = asyncio.create_task(work(service.catalog[:2]))
    await asyncio.sleep(0.1)
    (folder := tmp_path / "next").mkdir()
    await asyncio.to_thread(command.upgrade, with_the_next(database_url, folder), "head")
    done.set()
    await working
    assert {200} == set(answers)
    await service.add(service.catalog[2])
    ready = await service.http.get("/readyz")
    assert (200, "ok") == (ready.status_code, ready.json()["status"])
