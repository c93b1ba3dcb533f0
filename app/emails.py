"""E-mail addresses: what counts as one, when two are the same, and how one is remembered without being kept."""

import hmac
import re
from collections.abc import Sequence

from pydantic import SecretStr

MAX_EMAIL = 254
# Only what can be no address is refused; whether it is one is for mbizmarket and the portal to say.
_SHAPE = re.compile(r"[^@\s<>,;:\"()\[\]\\]{1,64}@[^@\s<>,;:\"()\[\]\\.]+(\.[^@\s<>,;:\"()\[\]\\.]+)+")
_ASCII_LOWER = str.maketrans({chr(upper): chr(upper + 32) for upper in range(65, 91)})


def is_email(text: str) -> bool:
    return len(text) <= MAX_EMAIL and text.isprintable() and _SHAPE.fullmatch(text) is not None


def canonical(email: str) -> str:
    """The one form in which addresses are compared: trimmed, in ASCII lower case."""
    return email.strip().translate(_ASCII_LOWER)


class Digests:
    """Keyed digests of e-mail addresses. While APP_SECRET rotates, rows carry the digest of either secret."""

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._keys = [secret.get_secret_value().encode() for secret in secrets]

    def of(self, email: str) -> str:
        """The digest that new rows get: 64 hexadecimal digits."""
        return self.all_of(email)[0]

    def all_of(self, email: str) -> tuple[str, ...]:
        """Every digest that a row of this address may carry, the newest secret's first."""
        message = canonical(email).encode()
        return tuple(hmac.digest(key, message, "sha256").hex() for key in self._keys)

    def in_any_case(self, email: str) -> str:
        """For what is counted: mbizmarket folds the case of all letters, and some others fold into ASCII's (ſ, K)."""
        return self.of(email.casefold())
