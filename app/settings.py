"""Every setting of the service, read once from the environment or `.env`. Secrets never print themselves."""

import ipaddress
import re
import sys
from typing import Annotated, Any, Literal, NoReturn, Self, TypeVar
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.exc import ArgumentError

from app.address import networks
from app.crash import Point
from app.hosts import address


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _long_enough(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if any(len(secret.get_secret_value().encode()) < 32 for secret in secrets):
        raise ValueError("must be 32 bytes or more")
    return secrets


# What may stand behind the question mark, as a pattern: the driver would stop at anything else with a traceback.
DATABASE_OPTIONS = {
    "host": r".+",
    "port": r"\d{1,5}",
    "ssl": "disable|allow|prefer|require|verify-ca|verify-full",
    "target_session_attrs": "any|primary|standby|read-write|read-only|prefer-standby",
    "prepared_statement_cache_size": r"\d{1,5}",
    "passfile": r".+",
}


def _supported_database(url: str) -> str:
    if not url.startswith(("sqlite+aiosqlite:///", "postgresql+asyncpg://")):
        raise ValueError("must start with sqlite+aiosqlite:/// or postgresql+asyncpg://")
    try:
        options = address(url).query
    except (ArgumentError, ValueError):
        raise ValueError("is not a database's address") from None
    known = {} if url.startswith("sqlite") else DATABASE_OPTIONS
    for name, values in options.items():
        if name not in known:
            raise ValueError(f"takes {', '.join(known) or 'nothing'} after the question mark, and no other")
        for value in [values] if isinstance(values, str) else values:
            if not re.fullmatch(known[name], value):
                raise ValueError(f"has a {name} that cannot be")
    return url


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if not all(
        re.fullmatch(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?", o)
        for o in origins
    ):
        raise ValueError("must be origins as browsers send them, like https://bela.example")
    return origins


def _is_public_key(pem: str, algorithm: str) -> bool:
    """In PEM, of the algorithm's kind, and long enough to be trusted."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    if algorithm == "RS256":
        return isinstance(key, RSAPublicKey) and key.key_size >= 2048
    return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)


def _web_address(url: str) -> str:
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or re.search(r"\s", url)
        or parts.port == 0  # reading it raises ValueError when it is no port at all
        or parts.username
        or parts.query
        or parts.fragment
    ):
        raise ValueError("must be an http or https address without user, query or fragment")
    return url.rstrip("/")


def _storage(uri: str) -> str:
    if uri == "memory://":
        return uri
    try:
        parts = urlsplit(uri)
        usable = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
    except ValueError:  # no port
        usable = False
    if not usable or parts.query or parts.fragment:
        raise ValueError("must be memory:// or redis://host:port/number, without query or fragment")
    return uri


def _addresses(texts: tuple[str, ...]) -> tuple[str, ...]:
    networks(texts)
    return texts


Secrets = Annotated[
    tuple[SecretStr, ...], NoDecode, BeforeValidator(_comma_separated), Field(min_length=1, max_length=2)
]
# There may be a password in it: printed settings leave it out.
Unprinted = Field(repr=False, exclude=True)
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
WebAddress = Annotated[str, AfterValidator(_web_address)]


def is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


class DatabaseSettings(BaseSettings):
    """What commands that only touch the database need."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    database_url: Annotated[str, AfterValidator(_supported_database), Unprinted] = (
        "sqlite+aiosqlite:///./satker.db"
    )

    @model_validator(mode="before")
    @classmethod
    def _text(cls, values: Any) -> Any:
        """The environment holds bytes: what is no text could be neither sent nor compared."""
        for name, value in values.items():
            if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
                raise ValueError(f"{name.upper()}: is not UTF-8")
        return values

    app_env: Literal["production", "development"] = "production"
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 90

    @property
    def development(self) -> bool:
        return self.app_env == "development"


S = TypeVar("S", bound=DatabaseSettings)


class Settings(DatabaseSettings):
    """What the service needs. Durations are in seconds."""

    app_secret: Annotated[Secrets, AfterValidator(_long_enough)]

    mbiz_url: WebAddress
    mbiz_client_id: Annotated[
        str, Field(pattern=r"^[^:\x00-\x1f\x7f]+$")
    ]  # the user of HTTP's Basic (RFC 7617)
    mbiz_client_secret: Secrets
    mbiz_deadline_seconds: Annotated[float, Field(ge=0.5, le=60)] = 10
    mbiz_forgot_password_url: WebAddress

    attempt_lease_seconds: Annotated[float, Field(allow_inf_nan=False)] = (
        0  # 0 stands for the default, deadline + 5
    )
    settle_grace_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30
    uncertain_alert_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3600

    bela_issuer: Annotated[str, Field(min_length=1)]
    bela_audience: Annotated[str, Field(min_length=1)]
    bela_jwks_url: WebAddress | None = None
    bela_jwt_key: SecretStr | None = None
    bela_jwt_algorithm: Literal["RS256", "ES256", "HS256"] | None = None
    bela_roles: Annotated[Names, Field(min_length=1)] = ("PP", "PPK")
    bela_email_is_verified: bool = False

    cors_origins: Annotated[Names, AfterValidator(_origins)] = ()
    trusted_proxies: Annotated[Names, AfterValidator(_addresses)] = ()

    rate_limit_storage: Annotated[str, AfterValidator(_storage), Unprinted] = "memory://"
    calls_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = 600

    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    otel_exporter_otlp_endpoint: WebAddress | None = None

    crash_at: Point | None = None

    @model_validator(mode="after")
    def _safe_together(self) -> Self:
        parts = urlsplit(self.mbiz_url)
        if parts.scheme == "http" and not (self.development or is_loopback(parts.hostname)):
            raise ValueError("MBIZ_URL: plain http is for loopback only")
        if "attempt_lease_seconds" in self.model_fields_set and (
            self.attempt_lease_seconds < self.mbiz_deadline_seconds
        ):
            raise ValueError("ATTEMPT_LEASE_SECONDS: must not be below MBIZ_DEADLINE_SECONDS")
        if self.crash_at and not self.development:
            raise ValueError("CRASH_AT: is for tests, and refused in production")
        self._check_portal_keys()
        return self

    def _check_portal_keys(self) -> None:
        if self.bela_jwks_url:
            parts = urlsplit(self.bela_jwks_url)
            if parts.scheme == "http" and not (self.development or is_loopback(parts.hostname)):
                raise ValueError("BELA_JWKS_URL: plain http is for loopback only")
            if self.bela_jwt_key or self.bela_jwt_algorithm:
                raise ValueError("BELA_JWKS_URL: set this, or BELA_JWT_KEY and BELA_JWT_ALGORITHM, not both")
            return
        if not self.bela_jwt_key:
            raise ValueError("BELA_JWT_KEY: is missing, and BELA_JWKS_URL too")
        if not self.bela_jwt_algorithm:
            raise ValueError("BELA_JWT_ALGORITHM: is missing")
        key = self.bela_jwt_key.get_secret_value()
        if self.bela_jwt_algorithm == "HS256":
            if len(key.encode()) < 32 or key.lstrip().startswith("-----BEGIN"):
                raise ValueError("BELA_JWT_KEY: must be 32 bytes or more for HS256, and not a public key")
        elif not _is_public_key(key, self.bela_jwt_algorithm):
            raise ValueError(f"BELA_JWT_KEY: must be a public key in PEM, for {self.bela_jwt_algorithm}")

    @property
    def lease_seconds(self) -> float:
        return self.attempt_lease_seconds or self.mbiz_deadline_seconds + 5


def load(kind: type[S]) -> S:
    """Settings from the environment; one line naming the first bad one and exit status 2 otherwise."""
    try:
        return kind()
    except ValidationError as error:
        _stop(error)
    except (UnicodeDecodeError, OSError) as error:
        sys.stderr.write(f".env: {getattr(error, 'strerror', 'is not UTF-8')}\n")
        raise SystemExit(2) from None


def _stop(error: ValidationError) -> NoReturn:
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    name = str(first["loc"][0]).upper() if first["loc"] else ""
    reason = "is missing" if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
    sys.stderr.write(f"{name}: {reason}\n" if name else f"{reason}\n")
    raise SystemExit(2)
