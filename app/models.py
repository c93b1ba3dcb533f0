"""The whole schema. Statements are Core over these classes; there is no ORM."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ColumnClause, ForeignKey, Index, Integer, text

from app.db import name_unique
from app.tables import Base, column


class Klpd(Base):
    """A K/L/P/D: ministry, agency or local government."""

    __tablename__ = "klpd"

    code: ColumnClause[str] = column(primary_key=True)
    name: ColumnClause[str]
    kind: ColumnClause[str | None]
    search: ColumnClause[str]  # the words and the code that it is found by (app/catalog/text.py)


class CatalogSatker(Base):
    """A satker of LKPP's master data."""

    __tablename__ = "catalog_satker"

    id: ColumnClause[str] = column(primary_key=True)
    klpd_code: ColumnClause[str] = column(ForeignKey("klpd.code"))
    code: ColumnClause[str | None]  # the code people know; not unique, leading zeros count
    kd_satker: ColumnClause[str | None]  # LKPP's own key, where the source has it
    name: ColumnClause[str]
    active: ColumnClause[bool]
    search: ColumnClause[str]  # the words of every spelling of its name, and its codes (app/catalog/text.py)

    __table_args__ = (
        Index("uq_catalog_satker_kd_satker", "kd_satker", unique=True),
        Index(
            "uq_catalog_satker_klpd_code_code",
            "klpd_code",
            "code",
            unique=True,
            sqlite_where=text("kd_satker IS NULL"),
            postgresql_where=text("kd_satker IS NULL"),
        ),
        Index("ix_catalog_satker_klpd_code_name_id", "klpd_code", "name", "id"),
        Index("ix_catalog_satker_klpd_code_code", "klpd_code", "code"),
        # Further indexes serve the search; each database has its own, named search_…: migration 0002.
    )


class PpSatker(Base):
    """A satker on a PP's own list."""

    __tablename__ = "pp_satker"

    id: ColumnClause[str] = column(primary_key=True)
    pp_id: ColumnClause[str]
    catalog_id: ColumnClause[str] = column(ForeignKey("catalog_satker.id"))
    is_primary: ColumnClause[bool]
    created_at: ColumnClause[datetime]
    updated_at: ColumnClause[datetime]
    last_failure_code: ColumnClause[str | None]  # the PP's own last registration that came to nothing
    last_failure_at: ColumnClause[datetime | None]

    __table_args__ = (
        Index("uq_pp_satker_pp_id_catalog_id", "pp_id", "catalog_id", unique=True),
        Index(
            "uq_pp_satker_primary",
            "pp_id",
            unique=True,
            sqlite_where=text("is_primary"),
            postgresql_where=text("is_primary"),
        ),
        Index("ix_pp_satker_catalog_id", "catalog_id"),
    )


class Attempt(Base):
    """A registration or a mapping: the mapping is the try that succeeded.

    Its id is the reference at mbizmarket. One is live (calling, uncertain, mapped) per satker. States:
    calling → mapped | refused | uncertain | conflict;
    uncertain → mapped | refused | conflict | orphan | calling (sent again under its reference);
    refused → orphan; mapped → removed.
    """

    __tablename__ = "attempt"

    id: ColumnClause[str] = column(primary_key=True)
    catalog_id: ColumnClause[str] = column(ForeignKey("catalog_satker.id"))
    pp_id: ColumnClause[str]
    satker_id: ColumnClause[str]  # the PP's satker then; it may be gone now
    state: ColumnClause[str]
    via: ColumnClause[str]
    email_digest: ColumnClause[str | None]
    company_id: ColumnClause[str | None]
    company_name: ColumnClause[str | None]
    account_id: ColumnClause[str | None]
    failure: ColumnClause[str | None]  # a problem's code, or never_arrived
    sends: ColumnClause[int]
    lease_until: ColumnClause[datetime | None]  # a row left `calling` after this is read as uncertain
    not_found: ColumnClause[int]  # how often mbizmarket did not know the reference since the last send
    not_found_since: ColumnClause[datetime | None]
    asks: ColumnClause[int]
    ask_at: ColumnClause[datetime | None]  # when settling asks next
    created_at: ColumnClause[datetime]
    mapped_at: ColumnClause[datetime | None]
    ended_at: ColumnClause[datetime | None]

    __table_args__ = (
        CheckConstraint(
            "state IN ('calling','uncertain','mapped','refused','conflict','orphan','removed')", name="state"
        ),
        CheckConstraint("state <> 'mapped' OR company_id IS NOT NULL", name="company"),
        Index(
            "uq_attempt_live_satker",
            "catalog_id",
            unique=True,
            sqlite_where=text("state IN ('calling','uncertain','mapped')"),
            postgresql_where=text("state IN ('calling','uncertain','mapped')"),
        ),
        Index(
            "uq_attempt_mapped_company",
            "company_id",
            unique=True,
            sqlite_where=text("state = 'mapped'"),
            postgresql_where=text("state = 'mapped'"),
        ),
        Index(
            "uq_attempt_open_email",
            "email_digest",
            unique=True,
            sqlite_where=text("state IN ('calling','uncertain')"),
            postgresql_where=text("state IN ('calling','uncertain')"),
        ),
        Index(
            "ix_attempt_ask_at",
            "ask_at",
            sqlite_where=text("ask_at IS NOT NULL"),
            postgresql_where=text("ask_at IS NOT NULL"),
        ),
        Index("ix_attempt_state_created_at_id", "state", "created_at", "id"),
    )


class Access(Base):
    """A PP's proven access to a mapping, and the mbizmarket account it was proven with."""

    __tablename__ = "access"

    satker_id: ColumnClause[str] = column(ForeignKey("pp_satker.id"), primary_key=True)
    attempt_id: ColumnClause[str] = column(ForeignKey("attempt.id"))
    pp_id: ColumnClause[str]
    account_id: ColumnClause[str | None]  # unknown for some imported pairs, until the first entry
    via: ColumnClause[str]
    granted_at: ColumnClause[datetime]

    __table_args__ = (Index("uq_access_attempt_id_pp_id", "attempt_id", "pp_id", unique=True),)


class ImportedLine(Base):
    """A line of import-mappings that was applied: it is never applied again, whatever the PP has changed since."""

    __tablename__ = "imported_line"

    digest: ColumnClause[str] = column(primary_key=True)
    outcome: ColumnClause[str]
    at: ColumnClause[datetime]


class History(Base):
    """What happened, with names as they were. Added in the transaction of the change, never altered."""

    __tablename__ = "history"

    id: ColumnClause[int] = column(type_=BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: ColumnClause[datetime]
    event: ColumnClause[str]
    actor: ColumnClause[str]  # pp, operator or system
    actor_pp_id: ColumnClause[str | None]  # the PP or the operator who did it, where one with a token did
    pp_id: ColumnClause[str]  # whose satker it was about
    satker_id: ColumnClause[str | None]
    satker_name: ColumnClause[str | None]
    attempt_id: ColumnClause[str | None]
    company_id: ColumnClause[str | None]
    company_name: ColumnClause[str | None]
    via: ColumnClause[str | None]
    outcome: ColumnClause[str]  # ok, uncertain, or a problem's code
    reason: ColumnClause[str | None]  # an operator's
    request_id: ColumnClause[str | None]

    __table_args__ = (
        Index("ix_history_pp_id_id", "pp_id", "id"),
        Index("ix_history_pp_id_satker_id_id", "pp_id", "satker_id", "id"),
        Index("ix_history_attempt_id_id", "attempt_id", "id"),
    )


class Forgetting(Base):
    """Whose history rows may be given a pseudonym. A row never outlives its transaction; the trigger looks here."""

    __tablename__ = "forgetting"

    pp_id: ColumnClause[str] = column(primary_key=True)
    pseudonym: ColumnClause[str]


name_unique(Base.metadata)
