"""Who is calling: the portal's JWT. The only user of python-jose, which checks signatures here and nothing else."""

import json
import time
from dataclasses import dataclass
from math import isfinite
from typing import Any

from jose import jwk, jws
from jose.exceptions import JOSEError
from jose.utils import base64url_decode, base64url_encode

from app.emails import is_email
from app.fields import CONTROL
from app.problems import Unauthenticated
from app.settings import Settings

LEEWAY = 30  # seconds
MAX_TOKEN = 8192  # characters


@dataclass(frozen=True, slots=True)
class Pejabat:
    """The PP behind a request, as the portal vouches for them."""

    pp_id: str
    role: str | None = None
    email: str | None = None
    email_verified: bool = False
    name: str | None = None
    preferred_username: str | None = None
    phone: str | None = None
    lpse_id: str | None = None
    scopes: frozenset[str] = frozenset()

    @property
    def verified_email(self) -> str | None:
        return self.email if self.email_verified else None


class TokenReader:
    """Reads bearer tokens signed with the portal's one key, by its one algorithm."""

    def __init__(self, settings: Settings) -> None:
        self._algorithm = settings.bela_jwt_algorithm
        self._key = jwk.construct(settings.bela_jwt_key.get_secret_value(), self._algorithm)
        self._issuer = settings.bela_issuer
        self._audience = settings.bela_audience
        self._vouched = settings.bela_email_is_verified

    def read(self, token: str) -> Pejabat:
        """The PP of a valid token. Raises Unauthenticated, the same for every fault."""
        try:
            claims = self._claims(token)
            self._check(claims)
            return self._pejabat(claims)
        except (JOSEError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise Unauthenticated from None

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN or not _canonical(token) or "crit" in jws.get_unverified_header(token):
            raise ValueError
        claims = json.loads(jws.verify(token, self._key, algorithms=[self._algorithm]))
        if not isinstance(claims, dict):
            raise TypeError
        return claims

    def _check(self, claims: dict[str, Any]) -> None:
        now = time.time()
        good = (
            claims["iss"] == self._issuer
            and self._audience in _audiences(claims["aud"])
            and _instant(claims["exp"]) > now - LEEWAY
            and _instant(claims["iat"]) <= now + LEEWAY
            and _instant(claims.get("nbf", 0)) <= now + LEEWAY
        )
        if not good:
            raise ValueError

    def _pejabat(self, claims: dict[str, Any]) -> Pejabat:
        subject = claims["sub"]
        if not isinstance(subject, str) or not _plain(subject):
            raise ValueError
        email = _text(claims, "email")
        if email is not None and not is_email(email):
            email = None
        scope = claims.get("scope")
        return Pejabat(
            pp_id=subject,
            role=_text(claims, "role"),
            email=email,
            email_verified=email is not None and (self._vouched or claims.get("email_verified") is True),
            name=_text(claims, "name"),
            preferred_username=_text(claims, "preferred_username"),
            phone=_text(claims, "phone"),
            lpse_id=_text(claims, "lpse_id"),
            scopes=frozenset(scope.split(" ")) if isinstance(scope, str) else frozenset(),
        )


def sign_token(settings: Settings, claims: dict[str, Any], *, hours: float) -> str:
    """A token as the portal would sign it, for development: only with HS256 is the key that checks one that signs."""
    now = int(time.time())
    whole = {
        "iss": settings.bela_issuer,
        "aud": settings.bela_audience,
        "iat": now,
        "exp": now + int(hours * 3600),
        **claims,
    }
    return jws.sign(whole, settings.bela_jwt_key.get_secret_value(), algorithm="HS256")


def _canonical(token: str) -> bool:
    """A signature has one spelling: the decoder skips what is no base64, and ignores the last letter's spare bits."""
    signature = token.rpartition(".")[2].encode()
    return bool(base64url_encode(base64url_decode(signature)) == signature)


def _audiences(value: object) -> list[str]:
    """A string or an array of strings (RFC 7519)."""
    values: list[object] = value if isinstance(value, list) else [value]
    names = [name for name in values if isinstance(name, str)]
    if names != values:
        raise TypeError
    return names


def _instant(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError
    return float(value)


def _plain(text: str) -> bool:
    return 1 <= len(text) <= 200 and not CONTROL.search(text)


def _text(claims: dict[str, Any], name: str) -> str | None:
    """An optional claim: a number is read as its digits, what is unusable as absent."""
    value = claims.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _plain(value.strip()):
        return None
    return value.strip()
