"""Accounts, their companies and their passwords. What takes a connection never commits."""

import hashlib
import hmac
import secrets
import sqlite3
import time
from dataclasses import dataclass

from app.mbiz.sandbox.answers import Json, PartnerError
from app.mbiz.sandbox.samples import SAMPLE_ACCOUNTS, SampleAccount

LOCK_AFTER = 10  # failed log-ins in a row

# Few rounds, for a log-in has to stay under 10 ms; the passwords are made up, and never stored in clear.
_ROUNDS = 2_000


@dataclass(frozen=True, slots=True)
class NewCompany:
    name: str
    city: str
    street: str = "Jalan Contoh 1"
    postal_code: str = "10110"
    status: str = "active"


def new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(8)}"


def _key(email: str) -> str:
    return email.strip().lower()


def _digest(password: str, salt: bytes) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ROUNDS)


def seed(db: sqlite3.Connection) -> None:
    for sample in SAMPLE_ACCOUNTS:
        _insert_sample(db, sample)


def _insert_sample(db: sqlite3.Connection, sample: SampleAccount) -> None:
    add_account(
        db, sample.email, sample.password, sample.name, sample.email_verified, account_id=sample.account_id
    )
    for company in sample.companies:
        known = db.execute("SELECT 1 FROM companies WHERE company_id = ?", (company.company_id,)).fetchone()
        if not known:
            fields = NewCompany(
                company.name, company.city, postal_code=company.postal_code, status=company.status
            )
            add_company(db, fields, company.company_id)
        join(db, sample.account_id, company.company_id)


def add_account(
    db: sqlite3.Connection,
    email: str,
    password: str,
    name: str,
    email_verified: bool = True,
    phone: str | None = None,
    account_id: str | None = None,
) -> str:
    """The new account's id; raises PartnerError 409 `email_taken`."""
    salt = secrets.token_bytes(16)
    account_id = account_id or new_id("A")
    row = (
        account_id,
        email.strip(),
        _key(email),
        email_verified,
        name,
        phone,
        salt,
        _digest(password, salt),
    )
    try:
        db.execute("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    except sqlite3.IntegrityError as error:
        raise email_taken() from error
    return account_id


def email_taken() -> PartnerError:
    return PartnerError(409, "email_taken", "An account with this e-mail exists.")


def add_company(db: sqlite3.Connection, new: NewCompany, company_id: str | None = None) -> str:
    company_id = company_id or new_id("C")
    db.execute(
        "INSERT INTO companies (company_id, name, status, street, city, postal_code)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (company_id, new.name, new.status, new.street, new.city, new.postal_code),
    )
    return company_id


def join(db: sqlite3.Connection, account_id: str, company_id: str) -> None:
    db.execute("INSERT OR IGNORE INTO memberships VALUES (?, ?)", (account_id, company_id))


def leave(db: sqlite3.Connection, account_id: str, company_id: str) -> None:
    db.execute("DELETE FROM memberships WHERE account_id = ? AND company_id = ?", (account_id, company_id))


def search(db: sqlite3.Connection, email: str) -> list[Json]:
    rows = db.execute("SELECT * FROM accounts WHERE email_key = ?", (_key(email),)).fetchall()
    return [_as_account(db, row) for row in rows]


def every_account(db: sqlite3.Connection) -> list[Json]:
    return [_as_account(db, row) for row in db.execute("SELECT * FROM accounts ORDER BY rowid").fetchall()]


def get_account(db: sqlite3.Connection, account_id: str) -> Json:
    row = db.execute("SELECT * FROM accounts WHERE account_id = ?", (account_id,)).fetchone()
    if row is None:
        raise PartnerError(404, "account_not_found", "There is no such account.")
    return _as_account(db, row)


def get_company(db: sqlite3.Connection, company_id: str) -> Json:
    row = db.execute("SELECT * FROM companies WHERE company_id = ? AND NOT gone", (company_id,)).fetchone()
    if row is None:
        raise PartnerError(404, "company_not_found", "There is no such company.")
    return as_company(row)


def as_company(row: sqlite3.Row) -> Json:
    address = {key: row[key] for key in ("street", "city", "postal_code")}
    return {key: row[key] for key in ("company_id", "name", "status")} | {"address": address}


def _as_account(db: sqlite3.Connection, row: sqlite3.Row) -> Json:
    companies = db.execute(
        "SELECT c.* FROM memberships m JOIN companies c USING (company_id)"
        " WHERE m.account_id = ? AND NOT c.gone ORDER BY m.rowid",
        (row["account_id"],),
    ).fetchall()
    return {
        "account_id": row["account_id"],
        "email": row["email"],
        "email_verified": bool(row["email_verified"]),
        "name": row["name"],
        "companies": [as_company(company) for company in companies],
    }


def log_in(db: sqlite3.Connection, email: str, password: str, lock_seconds: float) -> Json | None:
    """The Account, or None for a wrong password or e-mail, which cost and count alike.

    Raises PartnerError 423 while locked. None is not an exception, for the failure has to be committed.
    """
    key = _key(email)
    _refuse_while_locked(db, key)
    row = db.execute("SELECT * FROM accounts WHERE email_key = ?", (key,)).fetchone()
    salt, expected = (row["salt"], row["password_digest"]) if row else (b"", b"")
    if not hmac.compare_digest(_digest(password, salt), expected):
        _count_failure(db, key, lock_seconds)
        return None
    db.execute("DELETE FROM failed_logins WHERE email_key = ?", (key,))
    return _as_account(db, row)


def _refuse_while_locked(db: sqlite3.Connection, key: str) -> None:
    row = db.execute(
        "SELECT locked_until FROM failed_logins WHERE email_key = ? AND locked_until IS NOT NULL", (key,)
    ).fetchone()
    if row is None:
        return
    seconds_left = row["locked_until"] - time.time()
    if seconds_left > 0:
        headers = {"Retry-After": str(max(1, round(seconds_left)))}
        raise PartnerError(423, "account_locked", "Too many failed log-ins.", headers=headers)
    db.execute("DELETE FROM failed_logins WHERE email_key = ?", (key,))


def _count_failure(db: sqlite3.Connection, key: str, lock_seconds: float) -> None:
    db.execute(
        "INSERT INTO failed_logins (email_key, failures) VALUES (?, 1)"
        " ON CONFLICT (email_key) DO UPDATE SET failures = failures + 1",
        (key,),
    )
    db.execute(
        "UPDATE failed_logins SET locked_until = ? WHERE email_key = ? AND failures >= ?",
        (time.time() + lock_seconds, key, LOCK_AFTER),
    )


def change_account(db: sqlite3.Connection, account_id: str, changes: Json) -> Json:
    """`changes`: email, name, email_verified. Raises PartnerError 404, 409 `email_taken`."""
    account = get_account(db, account_id) | changes
    try:
        db.execute(
            "UPDATE accounts SET email = ?, email_key = ?, name = ?, email_verified = ? WHERE account_id = ?",
            (
                account["email"].strip(),
                _key(account["email"]),
                account["name"],
                account["email_verified"],
                account_id,
            ),
        )
    except sqlite3.IntegrityError as error:
        raise email_taken() from error
    return get_account(db, account_id)


def change_company(db: sqlite3.Connection, company_id: str, changes: Json) -> Json:
    """`changes`: status, name. Raises PartnerError 404."""
    company = get_company(db, company_id) | changes
    db.execute(
        "UPDATE companies SET name = ?, status = ? WHERE company_id = ?",
        (company["name"], company["status"], company_id),
    )
    return get_company(db, company_id)


def remove_company(db: sqlite3.Connection, company_id: str) -> None:
    """Gone from every answer but the registration that made it, which still has to name it."""
    get_company(db, company_id)
    db.execute("UPDATE companies SET gone = 1 WHERE company_id = ?", (company_id,))
