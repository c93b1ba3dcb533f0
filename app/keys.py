"""The portal's published keys (JWKS, RFC 7517), kept while they are fresh and used stale while the portal is away.

One algorithm per key: what the key is says how it signs, whatever a token claims.
"""

import asyncio
import json
import time
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Any

import httpx
import structlog

FRESH = 300.0  # seconds that a fetched set is taken as it is
PAUSE = 30.0  # seconds between fetches for a key id that the set does not have, or after a fetch that failed
AGAIN = 3.0  # seconds instead, as long as no set was ever fetched: without one nobody gets in
TIMEOUT = 3.0
MAX_BYTES = 256 * 1024
MIN_RSA_BITS = 2048

log = structlog.get_logger()


class Jwks:
    """Keys by id, each with its one `alg`. `version` changes whenever the set of keys does."""

    def __init__(
        self,
        url: str,
        *,
        fresh: float = FRESH,
        pause: float = PAUSE,
        again: float = AGAIN,
        timeout: float = TIMEOUT,
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._fresh = fresh
        self._pause = pause
        self._again = again
        self._client = httpx.AsyncClient(
            headers={"Accept-Encoding": "identity"},
            timeout=timeout,
            trust_env=False,
            follow_redirects=False,
        )
        self._keys: dict[str, dict[str, Any]] = {}
        self._fresh_until = 0.0
        self._next_try = 0.0
        self._one_at_a_time = asyncio.Lock()
        self.version = 0

    @property
    def count(self) -> int:
        """How many keys are known now; not a length, by which one that has fetched none yet would count as false."""
        return len(self._keys)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def find(self, kid: str) -> Mapping[str, Any] | None:
        """The key with this id, after a fetch if the set is old or does not have it; None if there is none.

        While one caller fetches, others go on with a key that is there: an endpoint that hangs holds up one of them.
        """
        fresh = time.monotonic() < self._fresh_until
        if kid in self._keys and (fresh or self._one_at_a_time.locked()):
            return self._keys[kid]
        async with self._one_at_a_time:
            now = time.monotonic()
            if (now >= self._fresh_until or kid not in self._keys) and now >= self._next_try:
                await self._fetch()
        return self._keys.get(kid)

    async def _fetch(self) -> None:
        self._next_try = time.monotonic() + (self._pause if self._keys else self._again)
        try:
            keys = _usable(await self._get())
        except (httpx.HTTPError, ValueError, TimeoutError, RecursionError) as error:
            log.warning("portal_keys_unavailable", error=type(error).__name__, kept=len(self._keys))
            return
        now = time.monotonic()
        self._fresh_until, self._next_try = now + self._fresh, now + self._pause
        if keys != self._keys:
            log.info("portal_keys_changed", keys=len(keys))
            self._keys = keys
            self.version += 1

    async def _get(self) -> Any:
        async with asyncio.timeout(self._timeout), self._client.stream("GET", self._url) as answer:
            if answer.status_code != 200:
                raise ValueError
            body = bytearray()
            async for chunk in answer.aiter_raw():  # what is compressed all the same is no JSON to us
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError
        return json.loads(body)


def _usable(document: Any) -> dict[str, dict[str, Any]]:
    """The keys that can check signatures; when there is none, the portal has taken all of them back.

    Raises ValueError for what is no set of keys.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError
    return {key["kid"]: key for key in map(_usable_key, document["keys"]) if key is not None}


def _usable_key(key: Any) -> dict[str, Any] | None:
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str) or key.get("use", "sig") != "sig":
        return None
    operations = key.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    algorithm = _algorithm(key)
    if algorithm is None or key.get("alg", algorithm) != algorithm:
        return None
    return {**key, "alg": algorithm}


def _algorithm(key: Mapping[str, Any]) -> str | None:
    match key:
        case {"kty": "RSA", "n": str(modulus)}:
            return "RS256" if _bits(modulus) >= MIN_RSA_BITS else None
        case {"kty": "EC", "crv": "P-256"}:
            return "ES256"
    return None


def _bits(base64url: str) -> int:
    """Of a number as JWK spells it; 0 if it is none."""
    try:
        return int.from_bytes(urlsafe_b64decode(base64url + "=" * (-len(base64url) % 4))).bit_length()
    except ValueError:
        return 0
