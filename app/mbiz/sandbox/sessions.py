"""Sessions: tickets that open mbizmarket once. What takes a connection never commits."""

import json
import secrets
import sqlite3
import time

from app.mbiz.sandbox.accounts import get_account, get_company
from app.mbiz.sandbox.answers import Json, PartnerError


def open_session(db: sqlite3.Connection, body: Json, seconds: float) -> tuple[str, float]:
    """A ticket and when it expires; raises PartnerError 404, 403, 409 as the contract lists them."""
    account = get_account(db, body["account_id"])
    company = get_company(db, body["company_id"])
    if company not in account["companies"]:
        raise PartnerError(403, "account_not_in_company", "The account does not belong to the company.")
    if company["status"] != "active":
        raise PartnerError(409, "company_inactive", "The company is not active.")
    ticket, expires_at = secrets.token_urlsafe(24), time.time() + seconds
    db.execute(
        "INSERT INTO sessions (ticket, account_id, company_id, payload, expires_at) VALUES (?, ?, ?, ?, ?)",
        (ticket, account["account_id"], company["company_id"], json.dumps(body["payload"]), expires_at),
    )
    return ticket, expires_at


def use_ticket(db: sqlite3.Connection, ticket: str) -> Json | None:
    """Who arrived: {account, company, payload}. None when the ticket is unknown, used or too old."""
    now = time.time()
    row = db.execute(
        "UPDATE sessions SET used_at = ? WHERE ticket = ? AND used_at IS NULL AND expires_at > ?"
        " RETURNING account_id, company_id, payload",
        (now, ticket, now),
    ).fetchone()
    if row is None:
        return None
    return {
        "account": get_account(db, row["account_id"]),
        "company": get_company(db, row["company_id"]),
        "payload": json.loads(row["payload"]),
    }
