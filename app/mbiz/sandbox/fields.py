"""mbizmarket's own opinion of the fields it is sent, in the codes of the contract."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from app.mbiz.sandbox.answers import Json, invalid

Rule = Callable[[str], str | None]

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_PHONE = re.compile(r"[0-9 +()-]+")
_POSTAL_CODE = re.compile(r"[0-9]{5}")
_NOT_SERVED = "999"


def _anything(_value: str) -> str | None:
    return None


def _email(value: str) -> str | None:
    return None if _EMAIL.fullmatch(value.strip()) else "invalid"


def _password(value: str) -> str | None:
    return "too_weak" if len(value) < 8 else None


def _phone(value: str) -> str | None:
    if not _PHONE.fullmatch(value):
        return "invalid"
    return "too_short" if len(value) < 8 else None


def _postal_code(value: str) -> str | None:
    if not _POSTAL_CODE.fullmatch(value):
        return "invalid"
    return "not_served" if value.startswith(_NOT_SERVED) else None


@dataclass(frozen=True, slots=True)
class Field:
    path: str
    longest: int = 200
    rule: Rule = _anything
    blank: bool = False  # whether blanks alone count as a value, as they do in a password

    def fault(self, body: Json) -> str | None:
        value: object = body
        for name in self.path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if value is None:
            return "required"
        if not isinstance(value, str) or not _is_text(value):
            return "invalid"
        if not (value if self.blank else value.strip()):
            return "required"
        return "too_long" if len(value) > self.longest else self.rule(value)


def _is_text(value: str) -> bool:
    """JSON can escape half a character; no UTF-8 exists for it, and SQLite refuses it."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


SEARCH = (Field("email"),)
LOGIN = (Field("email"), Field("password", longest=256, blank=True))
SESSION = (Field("account_id"), Field("company_id"))
REGISTRATION = (
    Field("reference"),
    Field("email", longest=254, rule=_email),
    Field("password", longest=256, rule=_password, blank=True),
    Field("contact_name"),
    Field("phone", longest=20, rule=_phone),
    Field("company.name"),
    Field("company.address.street"),
    Field("company.address.city"),
    Field("company.address.postal_code", rule=_postal_code),
)


def require(body: Json, fields: tuple[Field, ...]) -> None:
    """Raises PartnerError 422 `invalid`, naming every field that is at fault."""
    faults = {field.path: code for field in fields if (code := field.fault(body))}
    if faults:
        raise invalid(faults)
