"""The whole first schema: catalog, lists, attempts, accesses, history.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# History is only ever added to; the database itself says so. Forgetting a PP is the exception: while `forgetting` holds
# their id (within one transaction), it may become the pseudonym given there, and the request's id may go. Nothing else.
FINAL = (
    "id, at, event, actor, satker_id, satker_name, attempt_id, company_id, company_name, via, outcome, reason"
)
FORGETS = """EXISTS (SELECT 1 FROM forgetting WHERE forgetting.pp_id IN (OLD.pp_id, OLD.actor_pp_id)
    AND NEW.pp_id = CASE OLD.pp_id WHEN forgetting.pp_id THEN forgetting.pseudonym ELSE OLD.pp_id END
    AND NEW.actor_pp_id {same}
        CASE OLD.actor_pp_id WHEN forgetting.pp_id THEN forgetting.pseudonym ELSE OLD.actor_pp_id END
    AND (NEW.request_id IS NULL OR NEW.request_id {same} OLD.request_id)
    AND ({new}) {same} ({old}))"""


def forgets(same: str) -> str:
    """`same` is how the database says that two values are equal or both null."""
    new, old = (", ".join(f"{row}.{column}" for column in FINAL.split(", ")) for row in ("NEW", "OLD"))
    return FORGETS.format(same=same, new=new, old=old)


TRIGGERS = {
    "postgresql": (
        f"""CREATE FUNCTION history_is_final() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN
            IF TG_OP = 'UPDATE' THEN
                IF {forgets("IS NOT DISTINCT FROM")} THEN RETURN NEW; END IF;
            END IF;
            RAISE EXCEPTION 'history is final'
                USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'history_is_final';
        END $$""",
        "CREATE TRIGGER history_is_final BEFORE UPDATE OR DELETE ON history "
        "FOR EACH ROW EXECUTE FUNCTION history_is_final()",
        "CREATE TRIGGER history_is_kept BEFORE TRUNCATE ON history "
        "FOR EACH STATEMENT EXECUTE FUNCTION history_is_final()",
    ),
    "sqlite": (
        f"CREATE TRIGGER history_is_final BEFORE UPDATE ON history WHEN NOT {forgets('IS')} "
        "BEGIN SELECT RAISE(ABORT, 'history_is_final'); END",
        "CREATE TRIGGER history_is_kept BEFORE DELETE ON history "
        "BEGIN SELECT RAISE(ABORT, 'history_is_final'); END",
        # INSERT OR REPLACE would delete the old row without asking the trigger above.
        "CREATE TRIGGER history_is_new BEFORE INSERT ON history "
        "WHEN EXISTS (SELECT 1 FROM history WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'history_is_final'); END",
    ),
}


def upgrade() -> None:
    op.create_table(
        "imported_line",
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_imported_line")),
    )
    op.create_table(
        "history",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("actor_pp_id", TEXT, nullable=True),
        sa.Column("pp_id", TEXT, nullable=False),
        sa.Column("satker_id", TEXT, nullable=True),
        sa.Column("satker_name", TEXT, nullable=True),
        sa.Column("attempt_id", TEXT, nullable=True),
        sa.Column("company_id", TEXT, nullable=True),
        sa.Column("company_name", TEXT, nullable=True),
        sa.Column("via", TEXT, nullable=True),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=True),
        sa.Column("request_id", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history")),
    )
    op.create_index("ix_history_attempt_id_id", "history", ["attempt_id", "id"])
    op.create_index("ix_history_pp_id_id", "history", ["pp_id", "id"])
    op.create_index("ix_history_pp_id_satker_id_id", "history", ["pp_id", "satker_id", "id"])
    op.create_table(
        "forgetting",
        sa.Column("pp_id", TEXT, nullable=False),
        sa.Column("pseudonym", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("pp_id", name=op.f("pk_forgetting")),
    )

    op.create_table(
        "klpd",
        sa.Column("code", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=True),
        sa.Column("search", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_klpd")),
    )
    op.create_table(
        "catalog_satker",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("klpd_code", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=True),
        sa.Column("kd_satker", TEXT, nullable=True),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("search", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["klpd_code"], ["klpd.code"], name=op.f("fk_catalog_satker_klpd_code")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_catalog_satker")),
    )
    op.create_index("ix_catalog_satker_klpd_code_name_id", "catalog_satker", ["klpd_code", "name", "id"])
    op.create_index("uq_catalog_satker_kd_satker", "catalog_satker", ["kd_satker"], unique=True)
    op.create_index(
        "uq_catalog_satker_klpd_code_code",
        "catalog_satker",
        ["klpd_code", "code"],
        unique=True,
        sqlite_where=sa.text("kd_satker IS NULL"),
        postgresql_where=sa.text("kd_satker IS NULL"),
    )

    op.create_table(
        "attempt",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("catalog_id", TEXT, nullable=False),
        sa.Column("pp_id", TEXT, nullable=False),
        sa.Column("satker_id", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("via", TEXT, nullable=False),
        sa.Column("email_digest", TEXT, nullable=True),
        sa.Column("company_id", TEXT, nullable=True),
        sa.Column("company_name", TEXT, nullable=True),
        sa.Column("account_id", TEXT, nullable=True),
        sa.Column("failure", TEXT, nullable=True),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("lease_until", TIME, nullable=True),
        sa.Column("not_found", sa.Integer(), nullable=False),
        sa.Column("not_found_since", TIME, nullable=True),
        sa.Column("asks", sa.Integer(), nullable=False),
        sa.Column("ask_at", TIME, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("mapped_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.CheckConstraint("state <> 'mapped' OR company_id IS NOT NULL", name=op.f("ck_attempt_company")),
        sa.CheckConstraint(
            "state IN ('calling','uncertain','mapped','refused','conflict','orphan','removed')",
            name=op.f("ck_attempt_state"),
        ),
        sa.ForeignKeyConstraint(["catalog_id"], ["catalog_satker.id"], name=op.f("fk_attempt_catalog_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt")),
    )
    op.create_index(
        "ix_attempt_ask_at",
        "attempt",
        ["ask_at"],
        sqlite_where=sa.text("ask_at IS NOT NULL"),
        postgresql_where=sa.text("ask_at IS NOT NULL"),
    )
    op.create_index("ix_attempt_state_created_at_id", "attempt", ["state", "created_at", "id"])
    op.create_index(
        "uq_attempt_live_satker",
        "attempt",
        ["catalog_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('calling','uncertain','mapped')"),
        postgresql_where=sa.text("state IN ('calling','uncertain','mapped')"),
    )
    op.create_index(
        "uq_attempt_mapped_company",
        "attempt",
        ["company_id"],
        unique=True,
        sqlite_where=sa.text("state = 'mapped'"),
        postgresql_where=sa.text("state = 'mapped'"),
    )
    op.create_index(
        "uq_attempt_open_email",
        "attempt",
        ["email_digest"],
        unique=True,
        sqlite_where=sa.text("state IN ('calling','uncertain')"),
        postgresql_where=sa.text("state IN ('calling','uncertain')"),
    )

    op.create_table(
        "pp_satker",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("pp_id", TEXT, nullable=False),
        sa.Column("catalog_id", TEXT, nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("last_failure_code", TEXT, nullable=True),
        sa.Column("last_failure_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["catalog_id"], ["catalog_satker.id"], name=op.f("fk_pp_satker_catalog_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pp_satker")),
    )
    op.create_index("ix_pp_satker_catalog_id", "pp_satker", ["catalog_id"])
    op.create_index("uq_pp_satker_pp_id_catalog_id", "pp_satker", ["pp_id", "catalog_id"], unique=True)
    op.create_index(
        "uq_pp_satker_primary",
        "pp_satker",
        ["pp_id"],
        unique=True,
        sqlite_where=sa.text("is_primary"),
        postgresql_where=sa.text("is_primary"),
    )

    op.create_table(
        "access",
        sa.Column("satker_id", TEXT, nullable=False),
        sa.Column("attempt_id", TEXT, nullable=False),
        sa.Column("pp_id", TEXT, nullable=False),
        sa.Column("account_id", TEXT, nullable=True),
        sa.Column("via", TEXT, nullable=False),
        sa.Column("granted_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempt.id"], name=op.f("fk_access_attempt_id")),
        sa.ForeignKeyConstraint(["satker_id"], ["pp_satker.id"], name=op.f("fk_access_satker_id")),
        sa.PrimaryKeyConstraint("satker_id", name=op.f("pk_access")),
    )
    op.create_index("uq_access_attempt_id_pp_id", "access", ["attempt_id", "pp_id"], unique=True)
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for table in ("imported_line", "access", "pp_satker", "attempt", "catalog_satker", "klpd"):
        op.drop_table(table)
    op.drop_table("history")
    op.drop_table("forgetting")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION history_is_final")
