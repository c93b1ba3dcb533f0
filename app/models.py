"""The whole schema. Statements are Core over these classes; no unit of work, no identity map."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, Integer, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, name_unique


class Klpd(Base):
    """A K/L/P/D: ministry, agency or local government."""

    __tablename__ = "klpd"

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str | None]
    search: Mapped[str]  # the words and the code that it is found by (app/catalog/text.py)


class CatalogSatker(Base):
    """A satker of LKPP's master data."""

    __tablename__ = "catalog_satker"

    id: Mapped[str] = mapped_column(primary_key=True)
    klpd_code: Mapped[str] = mapped_column(ForeignKey("klpd.code"))
    code: Mapped[str | None]  # the code people know; not unique, leading zeros count
    kd_satker: Mapped[str | None]  # LKPP's own key, where the source has it
    name: Mapped[str]
    active: Mapped[bool]
    search: Mapped[str]  # the words of every spelling of its name, and its codes (app/catalog/text.py)

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

    id: Mapped[str] = mapped_column(primary_key=True)
    pp_id: Mapped[str]
    catalog_id: Mapped[str] = mapped_column(ForeignKey("catalog_satker.id"))
    is_primary: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    last_failure_code: Mapped[str | None]  # the PP's own last registration that came to nothing
    last_failure_at: Mapped[datetime | None]

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

    id: Mapped[str] = mapped_column(primary_key=True)
    catalog_id: Mapped[str] = mapped_column(ForeignKey("catalog_satker.id"))
    pp_id: Mapped[str]
    satker_id: Mapped[str]  # the PP's satker then; it may be gone now
    state: Mapped[str]
    via: Mapped[str]
    email_digest: Mapped[str | None]
    company_id: Mapped[str | None]
    company_name: Mapped[str | None]
    account_id: Mapped[str | None]
    failure: Mapped[str | None]  # a problem's code, or never_arrived
    sends: Mapped[int]
    lease_until: Mapped[datetime | None]  # a row left `calling` after this is read as uncertain
    not_found: Mapped[int]  # how often mbizmarket did not know the reference since the last send
    not_found_since: Mapped[datetime | None]
    asks: Mapped[int]
    ask_at: Mapped[datetime | None]  # when settling asks next
    created_at: Mapped[datetime]
    mapped_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

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

    satker_id: Mapped[str] = mapped_column(ForeignKey("pp_satker.id"), primary_key=True)
    attempt_id: Mapped[str] = mapped_column(ForeignKey("attempt.id"))
    pp_id: Mapped[str]
    account_id: Mapped[str | None]  # unknown for some imported pairs, until the first entry
    via: Mapped[str]
    granted_at: Mapped[datetime]

    __table_args__ = (Index("uq_access_attempt_id_pp_id", "attempt_id", "pp_id", unique=True),)


class ImportedLine(Base):
    """A line of import-mappings that was applied: it is never applied again, whatever the PP has changed since."""

    __tablename__ = "imported_line"

    digest: Mapped[str] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    at: Mapped[datetime]


class History(Base):
    """What happened, with names as they were. Added in the transaction of the change, never altered."""

    __tablename__ = "history"

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[datetime]
    event: Mapped[str]
    actor: Mapped[str]  # pp, operator or system
    actor_pp_id: Mapped[str | None]  # the PP or the operator who did it, where one with a token did
    pp_id: Mapped[str]  # whose satker it was about
    satker_id: Mapped[str | None]
    satker_name: Mapped[str | None]
    attempt_id: Mapped[str | None]
    company_id: Mapped[str | None]
    company_name: Mapped[str | None]
    via: Mapped[str | None]
    outcome: Mapped[str]  # ok, uncertain, or a problem's code
    reason: Mapped[str | None]  # an operator's
    request_id: Mapped[str | None]

    __table_args__ = (
        Index("ix_history_pp_id_id", "pp_id", "id"),
        Index("ix_history_pp_id_satker_id_id", "pp_id", "satker_id", "id"),
        Index("ix_history_attempt_id_id", "attempt_id", "id"),
    )


class Forgetting(Base):
    """Whose history rows may be given a pseudonym. A row never outlives its transaction; the trigger looks here."""

    __tablename__ = "forgetting"

    pp_id: Mapped[str] = mapped_column(primary_key=True)
    pseudonym: Mapped[str]


name_unique(Base.metadata)
