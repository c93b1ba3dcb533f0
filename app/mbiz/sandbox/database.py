"""mbizmarket's truth: one SQLite file.

WAL with synchronous=NORMAL: a killed process loses nothing that was committed; only a power cut could.
"""

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_TABLES = (
    """
    CREATE TABLE accounts (
        account_id TEXT PRIMARY KEY, email TEXT NOT NULL, email_key TEXT NOT NULL UNIQUE,
        email_verified INTEGER NOT NULL, name TEXT NOT NULL, phone TEXT,
        salt BLOB NOT NULL, password_digest BLOB NOT NULL
    )""",
    """
    CREATE TABLE companies (
        company_id TEXT PRIMARY KEY, name TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('active', 'inactive')),
        street TEXT NOT NULL, city TEXT NOT NULL, postal_code TEXT NOT NULL, gone INTEGER NOT NULL DEFAULT 0
    )""",
    """
    CREATE TABLE memberships (
        account_id TEXT NOT NULL REFERENCES accounts, company_id TEXT NOT NULL REFERENCES companies,
        UNIQUE (account_id, company_id)
    )""",
    """
    CREATE TABLE registrations (
        registration_id TEXT PRIMARY KEY, reference TEXT NOT NULL UNIQUE,
        account_id TEXT NOT NULL UNIQUE REFERENCES accounts, company_id TEXT NOT NULL REFERENCES companies,
        email TEXT NOT NULL, created_at REAL NOT NULL, deliveries INTEGER NOT NULL DEFAULT 1
    )""",
    "CREATE TABLE failed_logins (email_key TEXT PRIMARY KEY, failures INTEGER NOT NULL, locked_until REAL)",
    """
    CREATE TABLE sessions (
        ticket TEXT PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts,
        company_id TEXT NOT NULL REFERENCES companies, payload TEXT NOT NULL,
        expires_at REAL NOT NULL, used_at REAL
    )""",
)


class Database:
    def __init__(self, path: Path | str, seed: Callable[[sqlite3.Connection], None]) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        # An ASGI app is dropped, not closed: without this the last reference would leave the file open.
        self.close = weakref.finalize(self, self._connection.close)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        with self.transaction() as db:
            if not db.execute("PRAGMA user_version").fetchone()[0]:
                for table in _TABLES:
                    db.execute(table)
                seed(db)
                db.execute("PRAGMA user_version = 1")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One at a time, committed at the end of the block, undone by any exception."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
