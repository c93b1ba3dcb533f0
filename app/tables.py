"""Tables written as classes, and the types of their columns: Core alone, without the ORM."""

from datetime import UTC, datetime
from types import NoneType
from typing import Any, ClassVar, NamedTuple, get_args

from sqlalchemy import Boolean, Column, DateTime, Dialect, Integer, MetaData, String, Table, TypeDecorator

# Names and ids are ordered by code point on both databases, whatever the server's locale.
Str = String().with_variant(String(collation="C"), "postgresql")


class Utc(TypeDecorator[datetime]):
    """An aware time in UTC; SQLite forgets the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value and (value if value.tzinfo else value.replace(tzinfo=UTC))


TYPES: dict[type, Any] = {str: Str, datetime: Utc, bool: Boolean, int: Integer}


class _Further(NamedTuple):
    arguments: tuple[Any, ...]
    options: dict[str, Any]


def column(*arguments: Any, **options: Any) -> Any:
    """What a column is beyond its name and type: arguments of SQLAlchemy's Column."""
    return _Further(arguments, options)


class Base:
    """A table with its columns as attributes: `ColumnClause[str | None]` says what is in it and that it may be NULL.

    SQLAlchemy takes the class wherever it takes a table.
    """

    metadata: ClassVar = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    __tablename__: ClassVar[str]
    __table__: ClassVar[Table]
    __table_args__: ClassVar[tuple[Any, ...]] = ()

    def __init_subclass__(cls) -> None:
        columns = [_column(name, kind, cls.__dict__.get(name)) for name, kind in cls.__annotations__.items()]
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *columns, *cls.__table_args__)
        for made in columns:
            setattr(cls, made.name, made)

    @classmethod
    def __clause_element__(cls) -> Table:
        return cls.__table__


def _column(name: str, annotation: Any, further: _Further | None) -> Column[Any]:
    (inside,) = get_args(annotation)
    kinds = get_args(inside) or (inside,)
    of = next(kind for kind in kinds if kind is not NoneType)
    arguments, options = further or _Further((), {})
    return Column(name, options.pop("type_", TYPES[of]), *arguments, nullable=NoneType in kinds, **options)
