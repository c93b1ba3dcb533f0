"""The portal's keys: published on a real socket of the loopback, and signing with what was not published."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from app.auth import TokenReader, Verified
from app.keys import Jwks
from app.settings import Settings
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jose import jwk, jws

from tests.mbiz.servers import Reply, Server, answers, serving
from tests.service import PP, settings_for


def number(value: int, size: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(size, "big")).rstrip(b"=").decode()


class SigningKey:
    """One of the portal's keys, RS256 or ES256."""

    def __init__(self, kid: str, algorithm: str = "ES256", bits: int = 2048) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self._key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = (
            rsa.generate_private_key(public_exponent=65537, key_size=bits)
            if algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )

    @cached_property
    def _signer(self) -> Any:
        private = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return jwk.construct(private.decode(), self.algorithm)

    @cached_property
    def published(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        if isinstance(numbers, rsa.RSAPublicNumbers):
            size = (numbers.n.bit_length() + 7) // 8
            key = {"kty": "RSA", "n": number(numbers.n, size), "e": number(numbers.e, 3)}
        else:
            key = {"kty": "EC", "crv": "P-256", "x": number(numbers.x, 32), "y": number(numbers.y, 32)}
        return {**key, "kid": self.kid, "use": "sig"}

    def public(self, encoding: Encoding) -> bytes:
        return self._key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)

    def token(self, *, kid: object = ..., **claims: Any) -> str:
        """A good token for PP 1; under another key's id, or None for no id at all."""
        named = self.kid if kid is ... else kid
        headers = {} if named is None else {"kid": named}
        return str(jws.sign(whole_claims(**claims), self._signer, headers=headers, algorithm=self.algorithm))


def whole_claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": "bela", "aud": "satu-pp", "iat": now, "exp": now + 600, **PP, **changes}


@dataclass
class Portal:
    """What is published; `reply` takes its place when the endpoint misbehaves."""

    server: Server = field(init=False)
    keys: list[Any] = field(default_factory=list)
    reply: Reply | None = None

    @property
    def url(self) -> str:
        return f"{self.server.base_url}/jwks.json"

    @property
    def fetches(self) -> int:
        return len(self.server.paths)

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        await (self.reply or answers({"keys": self.keys}))(writer)

    @asynccontextmanager
    async def reader(self, verified: Verified | None = None, **jwks: float) -> AsyncIterator[TokenReader]:
        """A reader of tokens, with times of its own for the keys."""
        keys = Jwks(self.url, **jwks)
        try:
            yield TokenReader(self.settings(), keys, verified)
        finally:
            await keys.aclose()

    def settings(self) -> Settings:
        keys = {"bela_jwks_url": self.url, "bela_jwt_key": None, "bela_jwt_algorithm": None}
        return settings_for("sqlite+aiosqlite:///unused.db", **keys)


@asynccontextmanager
async def publishing(*keys: SigningKey) -> AsyncIterator[Portal]:
    portal = Portal(keys=[key.published for key in keys])
    async with serving(portal.answer) as portal.server:
        yield portal


def raw(head: str, body: bytes = b"") -> Reply:
    """An answer byte by byte: status line and headers, each on a line of its own."""

    async def reply(writer: asyncio.StreamWriter) -> None:
        lines = [*head.splitlines(), f"Content-Length: {len(body)}"]
        writer.write("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body)

    return reply
