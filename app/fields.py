"""The kinds of text that requests are made of. What is refused is named by a code of app/problems.py."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_core import PydanticCustomError

from app.emails import MAX_EMAIL, is_email

# Control characters, line and paragraph separators, marks that turn the direction of what follows them, and lone
# surrogates, which JSON can spell but UTF-8 cannot.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PHONE = re.compile(r"(?=.*[0-9])[0-9 +()-]{8,20}")
_POSTAL_CODE = re.compile(r"[0-9]{5}")


class In(BaseModel):
    """A request body: what it does not name is refused, and nothing typed ever shows in an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _no(code: str) -> PydanticCustomError:
    return PydanticCustomError(code, "{code}", {"code": code})


def _plain(text: str) -> str:
    text = text.strip()
    if CONTROL.search(text):
        raise _no("control_characters")
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise _no("too_short")
    return text


def _email(text: str) -> str:
    text = text.strip()
    if not is_email(text):
        raise _no("invalid_email")
    return text


def _phone(text: str) -> str:
    text = text.strip()
    if not _PHONE.fullmatch(text):
        raise _no("invalid_phone")
    return text


def _postal_code(text: str) -> str:
    if not _POSTAL_CODE.fullmatch(text):
        raise _no("invalid_postal_code")
    return text


def _spellable(secret: SecretStr) -> SecretStr:
    """JSON can spell lone surrogates, UTF-8 cannot; any other text is forwarded as it is."""
    if re.search(r"[\ud800-\udfff]", secret.get_secret_value()):
        raise _no("invalid")
    return secret


Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain), AfterValidator(_not_empty)]
OpaqueId = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]
Query = Annotated[str, Field(max_length=100), AfterValidator(_plain)]
Email = Annotated[
    str,
    Field(max_length=MAX_EMAIL, json_schema_extra={"format": "email"}, examples=["budi@satker.go.id"]),
    AfterValidator(_email),
]
Phone = Annotated[
    str,
    Field(max_length=40, json_schema_extra={"pattern": "^[0-9 +()-]{8,20}$"}, examples=["+62 812-3456-7890"]),
    AfterValidator(_phone),
]
PostalCode = Annotated[
    str,
    Field(json_schema_extra={"pattern": "^[0-9]{5}$"}, examples=["10110"]),
    AfterValidator(_postal_code),
]
Password = Annotated[SecretStr, Field(min_length=1, max_length=256), AfterValidator(_spellable)]
