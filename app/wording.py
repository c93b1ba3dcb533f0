"""SQLAlchemy words a statement, once; asyncpg runs it. What app/held.py and app/direct.py have in common.

SQLAlchemy's own execution takes two thirds of what a small statement costs.
"""

import re
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Executable, Row

AnyRow = Row[*tuple[Any, ...]]
Values = Mapping[str, Any]
Write = tuple[Executable, Values]  # a statement that gives no rows


PARAMETER = re.compile(r"\$([0-9]+)")


class Worded(NamedTuple):
    sql: str
    names: tuple[str, ...]  # of its parameters, $1 first
    fixed: Values  # what the statement itself has for them
    row: Callable[[Sequence[Any]], AnyRow] | None  # makes columns reachable by name; None: it gives no rows

    def arguments(self, values: Values) -> list[Any]:
        return [values[name] if name in values else self.fixed[name] for name in self.names]


@lru_cache(maxsize=512)
def word(dialect: Dialect, statement: Any, given: tuple[str, ...]) -> Worded:
    """For values of the names `given`. A statement is known by its identity, so it has to be made once."""
    keep = {"render_postcompile": True}
    compiled = statement.compile(dialect=dialect, column_keys=list(given), compile_kwargs=keep)
    needed = {bind.key for bind in compiled.binds.values() if bind.required}
    fixed = {name: value for name, value in compiled.params.items() if name not in needed}
    gives_rows = not statement.is_dml or bool(compiled.effective_returning)
    return Worded(
        str(compiled), tuple(compiled.positiontup or ()), fixed, _row(statement) if gives_rows else None
    )


def together(dialect: Dialect, writes: Sequence[Write]) -> tuple[str, list[Any]]:
    """Several as one statement of PostgreSQL's, with its arguments."""
    worded = [word(dialect, statement, tuple(values)) for statement, values in writes]
    sql = _joined(tuple((one.sql, len(one.names)) for one in worded))
    return sql, [
        argument
        for one, (_, values) in zip(worded, writes, strict=True)
        for argument in one.arguments(values)
    ]


@lru_cache(maxsize=64)
def _joined(statements: tuple[tuple[str, int], ...]) -> str:
    """`WITH w0 AS (…), w1 AS (…) …`, whose parameters are numbered on."""
    parts, before = [], 0
    for sql, parameters in statements:
        parts.append(PARAMETER.sub(lambda found: f"${int(found[1]) + before}", sql))  # noqa: B023 - used at once
        before += parameters
    *first, last = parts
    return f"WITH {', '.join(f'w{n} AS ({sql})' for n, sql in enumerate(first))} {last}" if first else last


def _row(statement: Any) -> Callable[[Sequence[Any]], AnyRow]:
    columns = getattr(statement, "exported_columns", None)
    if columns is None:  # a text, whose columns are the server's to name: by their places alone
        return tuple  # type: ignore[return-value]
    make: Any = namedtuple  # which the type checker wants to know the columns of
    return make("row", columns.keys(), rename=True)._make  # type: ignore[no-any-return]
