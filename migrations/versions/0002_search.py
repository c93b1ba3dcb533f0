"""Indexes that the catalog's search is fast by, and one for look-ups by code.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# PostgreSQL: trigrams of the words, within each K/L/P/D. SQLite has no such index that could be kept within one; it
# reads the K/L/P/D's part of an index that has all the columns: 3 ms for 10,000 satkers.
SEARCH = {
    "postgresql": (
        "CREATE EXTENSION IF NOT EXISTS pg_trgm",
        "CREATE EXTENSION IF NOT EXISTS btree_gin",
        "CREATE INDEX search_catalog_satker_words ON catalog_satker USING gin (klpd_code, search gin_trgm_ops)",
    ),
    "sqlite": (
        "CREATE INDEX search_catalog_satker ON catalog_satker (klpd_code, name, id, search, code, kd_satker, active) "
        "WHERE active = 1",
    ),
}
UNSEARCH = {  # the extensions stay: others may use them
    "postgresql": ("DROP INDEX search_catalog_satker_words",),
    "sqlite": ("DROP INDEX search_catalog_satker",),
}


def upgrade() -> None:
    op.create_index("ix_catalog_satker_klpd_code_code", "catalog_satker", ["klpd_code", "code"])
    for statement in SEARCH[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for statement in UNSEARCH[op.get_bind().dialect.name]:
        op.execute(statement)
    op.drop_index("ix_catalog_satker_klpd_code_code", "catalog_satker")
