"""Registrations: at most one account for each reference. What takes a connection never commits."""

import sqlite3
import time
from datetime import UTC, datetime

from app.mbiz.sandbox.accounts import (
    NewCompany,
    add_account,
    add_company,
    as_company,
    get_account,
    join,
    new_id,
)
from app.mbiz.sandbox.answers import Json, PartnerError


def timestamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def find_delivered(db: sqlite3.Connection, reference: str) -> Json | None:
    """The Registration of a reference that comes again; the delivery is counted."""
    counted = db.execute(
        "UPDATE registrations SET deliveries = deliveries + 1 WHERE reference = ?", (reference,)
    )
    return get_registration(db, reference) if counted.rowcount else None


def register(db: sqlite3.Connection, body: Json) -> Json:
    """The new Registration; raises PartnerError 409 `email_taken`."""
    company = body["company"]
    account_id = add_account(db, body["email"], body["password"], body["contact_name"], phone=body["phone"])
    company_id = add_company(db, NewCompany(name=company["name"], **_address(company["address"])))
    join(db, account_id, company_id)
    db.execute(
        "INSERT INTO registrations (registration_id, reference, account_id, company_id, email, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (new_id("R"), body["reference"], account_id, company_id, body["email"].strip(), time.time()),
    )
    return get_registration(db, body["reference"])


def _address(address: Json) -> Json:
    return {key: address[key] for key in ("street", "city", "postal_code")}


def get_registration(db: sqlite3.Connection, reference: str, youngest: float = 0) -> Json:
    """The Registration, its account and company as they are now; raises PartnerError 404.

    One younger than `youngest` seconds is not known yet.
    """
    row = db.execute(
        "SELECT * FROM registrations JOIN companies USING (company_id)"
        " WHERE reference = ? AND created_at <= ?",
        (reference, time.time() - youngest),
    ).fetchone()
    if row is None:
        raise PartnerError(404, "registration_not_found", "There is no such registration.")
    return {
        "registration_id": row["registration_id"],
        "reference": row["reference"],
        "account": get_account(db, row["account_id"]),
        "company": as_company(row),
        "created_at": timestamp(row["created_at"]),
    }


def every_registration(db: sqlite3.Connection) -> list[Json]:
    rows = db.execute(
        "SELECT reference, account_id, company_id, email, created_at, deliveries"
        " FROM registrations ORDER BY rowid"
    ).fetchall()
    return [dict(row) | {"created_at": timestamp(row["created_at"])} for row in rows]
