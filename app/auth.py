"""Who is calling: the portal's JWT. The only user of python-jose, which checks signatures here and nothing else."""

import hashlib
import json
import time
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

from jose import jwk, jws
from jose.exceptions import JOSEError
from jose.utils import base64url_decode, base64url_encode

from app.emails import is_email
from app.fields import CONTROL
from app.keys import Jwks
from app.problems import Unauthenticated
from app.settings import Settings

LEEWAY = 30  # seconds
VERIFIED_FOR = 60  # seconds that a verified token is remembered, never past its exp
MAX_VERIFIED = 10_000
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


class Key(NamedTuple):
    """A key with the one algorithm that it is used by."""

    key: Any
    algorithm: str


class PinnedKey:
    """The one key of the settings, for tokens with any key id or none."""

    version = 0

    def __init__(self, key: str, algorithm: str) -> None:
        self._key = Key(jwk.construct(key, algorithm), algorithm)

    async def find(self, _kid: object) -> Key:
        return self._key


class PublishedKeys:
    """The portal's JWKS: a token names its key, and the key its algorithm."""

    def __init__(self, jwks: Jwks) -> None:
        self._jwks = jwks
        self._made: dict[str, Key] = {}
        self._made_of = 0

    @property
    def version(self) -> int:
        return self._jwks.version

    async def find(self, kid: object) -> Key:
        if not isinstance(kid, str):
            raise TypeError
        found = await self._jwks.find(kid)
        if found is None:
            raise KeyError
        if self._made_of != self.version:
            self._made, self._made_of = {}, self.version
        if kid not in self._made:
            self._made[kid] = Key(jwk.construct(dict(found)), found["alg"])
        return self._made[kid]


class Verified:
    """Tokens that were good a moment ago, by digest: checking a signature costs as much as the rest of a read."""

    def __init__(self, seconds: float = VERIFIED_FOR, most: int = MAX_VERIFIED) -> None:
        self._seconds = seconds
        self._most = most
        self._version = 0
        self.tokens: dict[bytes, tuple[Pejabat, float]] = {}

    def get(self, digest: bytes, version: int) -> Pejabat | None:
        if version != self._version:  # a key was added or taken back
            self.tokens, self._version = {}, version
        pejabat, until = self.tokens.get(digest, (None, 0.0))
        return pejabat if time.time() < until else None

    def put(self, digest: bytes, pejabat: Pejabat, expires: float) -> None:
        self.tokens.pop(digest, None)
        if len(self.tokens) >= self._most:
            del self.tokens[next(iter(self.tokens))]
        self.tokens[digest] = (pejabat, min(expires, time.time() + self._seconds))


class TokenReader:
    """Reads bearer tokens signed with the portal's keys."""

    def __init__(
        self, settings: Settings, jwks: Jwks | None = None, verified: Verified | None = None
    ) -> None:
        self._keys = _pinned(settings) if jwks is None else PublishedKeys(jwks)
        self._verified = verified or Verified()
        self._issuer = settings.bela_issuer
        self._audience = settings.bela_audience
        self._vouched = settings.bela_email_is_verified

    async def read(self, token: str) -> Pejabat:
        """The PP of a valid token. Raises Unauthenticated, the same for every fault."""
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest, self._keys.version)
        if known is not None:
            return known
        try:
            claims = await self._claims(token)
            self._check(claims)
            pejabat = self._pejabat(claims)
        except (JOSEError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            raise Unauthenticated from None
        self._verified.put(digest, pejabat, _instant(claims["exp"]))
        return pejabat

    async def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN or not _canonical(token):
            raise ValueError
        header = jws.get_unverified_header(token)
        if "crit" in header:
            raise ValueError
        key = await self._keys.find(header.get("kid"))
        claims = json.loads(jws.verify(token, key.key, algorithms=[key.algorithm]))
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


def _pinned(settings: Settings) -> PinnedKey:
    if settings.bela_jwt_key is None or settings.bela_jwt_algorithm is None:
        raise ValueError("neither a key nor a JWKS is set")
    return PinnedKey(settings.bela_jwt_key.get_secret_value(), settings.bela_jwt_algorithm)


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
    if settings.bela_jwt_key is None:
        raise ValueError("only a pinned key can sign")
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
