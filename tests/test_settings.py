"""A setting that is missing, malformed or unsafe stops the start with one line that names it, and status 2."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from app.settings import DatabaseSettings, Settings, load
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.test_logs import free_port

ROOT = Path(__file__).parent.parent
SECRET = "kanari-rahasia-" + "s" * 32
GOOD = {
    "APP_SECRET": SECRET,
    "MBIZ_URL": "https://partner.mbiz.example",
    "MBIZ_CLIENT_ID": "satu-pp",
    "MBIZ_CLIENT_SECRET": "kanari-klien",
    "MBIZ_FORGOT_PASSWORD_URL": "https://mbiz.example/lupa",
    "BELA_ISSUER": "bela",
    "BELA_AUDIENCE": "satu-pp",
    "BELA_JWT_KEY": "kanari-kunci-" + "k" * 32,
    "BELA_JWT_ALGORITHM": "HS256",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nothing but good settings, away from any .env file."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_starting_with_what_is_needed(environment: pytest.MonkeyPatch) -> None:
    """All else has a default, and production is one."""
    settings = load(Settings)
    assert {
        "database_url": "sqlite+aiosqlite:///./satker.db",
        "mbiz_deadline_seconds": 10,
        "lease_seconds": 15,
        "settle_grace_seconds": 30,
        "uncertain_alert_seconds": 3600,
        "bela_roles": ("PP", "PPK"),
        "bela_email_is_verified": False,
        "cors_origins": (),
        "trusted_proxies": (),
        "rate_limit_storage": "memory://",
        "calls_per_minute": 600,
        "crash_at": None,
        "development": False,
    } == {
        name: getattr(settings, name)
        for name in (
            *("database_url", "mbiz_deadline_seconds", "lease_seconds", "settle_grace_seconds"),
            *("uncertain_alert_seconds", "bela_roles", "bela_email_is_verified", "cors_origins"),
            *("trusted_proxies", "rate_limit_storage", "calls_per_minute", "crash_at", "development"),
        )
    }


BAD: dict[str, list[str | None]] = {
    "APP_SECRET": [None, "", "short", "s" * 31, f"{SECRET},short", ",", f"{SECRET},{SECRET},{SECRET}"],
    "MBIZ_URL": [
        *(None, "mbiz", "ftp://mbiz.example", "https://", "https://kanari:x@mbiz.example"),
        *("https://mbiz.example?kanari", "http://mbiz.example", "http://10.0.0.1", "https://mbiz.example#x"),
        *("https://mbiz.example:99999", "https://mbiz exa"),
    ],
    "MBIZ_CLIENT_ID": [None, "", "kanari:x", "kanari\n", "\udcff"],
    "MBIZ_CLIENT_SECRET": [None, "", "a,b,c", " , ", "kanari\udcff"],
    "MBIZ_DEADLINE_SECONDS": ["0.4", "61", "0", "-1", "nan", "inf", "ten", "10s"],
    "MBIZ_FORGOT_PASSWORD_URL": [None, "lupa", "javascript:alert(1)"],
    "ATTEMPT_LEASE_SECONDS": ["9", "0", "-1", "x", "nan", "inf"],
    "SETTLE_GRACE_SECONDS": ["-1", "x", "nan", "inf"],
    "UNCERTAIN_ALERT_SECONDS": ["0", "-1", "x", "nan", "inf"],
    "BELA_ISSUER": [None, ""],
    "BELA_AUDIENCE": [None, ""],
    "BELA_JWT_KEY": [None, "kanari-kurang", "\udcff" * 40],
    "METRICS_PORT": ["0", "-1", "65536", "x", "9100.5", "127.0.0.1:9100"],
    "OTEL_EXPORTER_OTLP_ENDPOINT": [
        "collector:4317",
        "kanari",
        "grpc://collector:4317",
        "http://a:b@c",
        "http://",
    ],
    "BELA_JWT_ALGORITHM": [None, "none", "HS512", "hs256", "RS256,HS256"],
    "BELA_EMAIL_IS_VERIFIED": ["maybe", "2"],
    "BELA_ROLES": [" , "],
    "CORS_ORIGINS": ["*", "bela.example", "https://bela.example/", "https://bela.example,*", "null"],
    "TRUSTED_PROXIES": ["proxy", "10.0.0.0/33"],
    "RATE_LIMIT_STORAGE": ["redis://", "file://x"],
    "CALLS_PER_MINUTE": ["0", "-1", "1000001", "x", "1.5"],
    "CRASH_AT": ["after_intent", "somewhere"],
    "DATABASE_URL": [
        "kanari",
        "mysql://x",
        "sqlite:///x.db",
        "postgresql://kanari:kanari@db/satker",
        "postgresql+asyncpg://h:port/db",
        "postgresql+asyncpg://kanari:kanari@h/db?sslmode=require",
        "postgresql+asyncpg://kanari:kanari@h/db?ssl=kanari",
        "postgresql+asyncpg://h/db?prepared_statement_cache_size=x",
        "postgresql+asyncpg://h/db?target_session_attrs=leader",
        "postgresql+asyncpg://h/db?kanari=1",
        "sqlite+aiosqlite:///kanari.db?timeout=x",
        "postgresql+asyncpg://u@a:5432,b:port/db",
        "postgresql+asyncpg://u@a,,b/db",
    ],
    "APP_ENV": ["prod", "test", "Production"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD.items() for value in values],
    ids=[f"{name}={value}"[:60] for name, values in BAD.items() for value in values],
)
def test_starting_with_a_bad_setting(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str | None
) -> None:
    """One line names it and repeats no value; the status is 2."""
    if value is None:
        environment.delenv(name)
    else:
        environment.setenv(name, value)
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    out, err = capsys.readouterr()
    assert (2, "", 1) == (stopped.value.code, out, err.count("\n"))
    assert err.startswith(f"{name}: ")
    assert "kanari" not in err


@pytest.mark.parametrize(
    "changes",
    [
        {"MBIZ_URL": "http://127.0.0.1:9000"},
        {"MBIZ_URL": "http://localhost:9000/"},
        {"MBIZ_URL": "http://[::1]:9000"},
        {"MBIZ_URL": "http://mbiz.example", "APP_ENV": "development"},
        {"CRASH_AT": "after_intent", "APP_ENV": "development"},
        {"APP_SECRET": f"{SECRET}, {SECRET[::-1]}"},
        {"MBIZ_CLIENT_SECRET": "baru,lama"},
        {"MBIZ_DEADLINE_SECONDS": "0.5", "ATTEMPT_LEASE_SECONDS": "0.5"},
        {"MBIZ_DEADLINE_SECONDS": "60"},
        {"DATABASE_URL": "postgresql+asyncpg://u:p@a,b/satker"},
        {"DATABASE_URL": "postgresql+asyncpg://u:p@/satker?host=a:5432&host=b:5432"},
        {"DATABASE_URL": "postgresql+asyncpg://u@/db?host=/run/postgresql&port=5433"},
        {"DATABASE_URL": "postgresql+asyncpg://u@a:1,b:2/db?ssl=verify-full&prepared_statement_cache_size=0"},
        {"METRICS_PORT": "9100", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318/"},
        {"CALLS_PER_MINUTE": "1000000"},
        {"CORS_ORIGINS": ""},
        {"BELA_EMAIL_IS_VERIFIED": "true"},
    ],
    ids=str,
)
def test_starting_with_another_good_setting(environment: pytest.MonkeyPatch, changes: dict[str, str]) -> None:
    """It is taken."""
    for name, value in changes.items():
        environment.setenv(name, value)
    assert set(changes) <= {name.upper() for name in load(Settings).model_fields_set} | {"CORS_ORIGINS"}


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def rsa_key(size: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=size)


def private(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", GOOD["BELA_JWT_KEY"]),
        ("RS256", pem(rsa_key(1024))),
        ("RS256", private(rsa_key(2048))),
        ("RS256", pem(ec.generate_private_key(ec.SECP256R1()))),
        ("ES256", pem(ec.generate_private_key(ec.SECP384R1()))),
        ("ES256", pem(rsa_key(2048))),
        ("HS256", pem(rsa_key(2048))),
    ],
    ids=["no key", "short RSA", "private", "EC for RSA", "another curve", "RSA for EC", "public for HMAC"],
)
def test_starting_with_a_key_that_does_not_fit(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], algorithm: str, key: str
) -> None:
    """A key of the wrong kind or size stops the start, not the first call."""
    environment.setenv("BELA_JWT_ALGORITHM", algorithm)
    environment.setenv("BELA_JWT_KEY", key)
    with pytest.raises(SystemExit) as stopped:
        load(Settings)
    err = capsys.readouterr().err
    assert (2, True, 1) == (stopped.value.code, err.startswith("BELA_JWT_KEY: "), err.count("\n"))


def test_printing_settings(environment: pytest.MonkeyPatch) -> None:
    """However they are printed, no secret shows."""
    settings = load(Settings)
    for text in (str(settings), repr(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "kanari" not in text


def test_reading_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`.env` is read, the environment goes before it, and what else is in it does no harm."""
    (tmp_path / ".env").write_text("CALLS_PER_MINUTE=5\nBELA_ISSUER=lain\nSOMETHING_ELSE=1\n")
    settings = load(Settings)
    assert (5, "bela") == (settings.calls_per_minute, settings.bela_issuer)


@pytest.mark.parametrize("command", ["serve", "migrate", "doctor", "check"])
def test_reading_a_file_that_is_no_text(tmp_path: Path, command: str) -> None:
    """As with a bad setting: one line, and exit status 2."""
    (tmp_path / ".env").write_bytes(b"BELA_ISSUER=\xff\xfe\n")
    ended = run(command, cwd=tmp_path)
    assert (2, "", ".env: is not UTF-8\n") == (ended.returncode, ended.stdout, ended.stderr)


def test_serving_metrics_on_a_port_that_is_in_use(tmp_path: Path) -> None:
    """One line names the setting, exit status 2, and the API does not start without them."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = run("serve", "--port", str(free_port()), cwd=tmp_path, METRICS_PORT=str(port))
    assert (2, f"METRICS_PORT: {port} on 127.0.0.1: Address already in use\n") == (
        ended.returncode,
        ended.stderr,
    )


def test_migrating_with_the_database_alone(environment: pytest.MonkeyPatch) -> None:
    """Commands that only touch the database need nothing else."""
    for name in GOOD:
        environment.delenv(name)
    assert "production" == load(DatabaseSettings).app_env


def run(*command: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    whole: dict[str, Any] = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **GOOD, **changes}
    return subprocess.run(
        [sys.executable, "-m", "app", *command],
        env={name: value for name, value in whole.items() if value != "absent"},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"APP_SECRET": "absent"}, "APP_SECRET: is missing"),
        ({"MBIZ_URL": "http://mbiz.example"}, "MBIZ_URL: plain http is for loopback only"),
        ({"DATABASE_URL": "postgresql://kanari:kanari@db/satker"}, "DATABASE_URL: must start with"),
        ({"METRICS_PORT": "8000"}, "METRICS_PORT: is the port of the API itself"),
        ({"METRICS_PORT": "99999"}, "METRICS_PORT: Input should be"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "kanari"}, "OTEL_EXPORTER_OTLP_ENDPOINT: must be an http"),
    ],
    ids=str,
)
def test_serving_with_a_bad_setting(tmp_path: Path, changes: dict[str, str], line: str) -> None:
    """The process ends with status 2, one line and no traceback."""
    ended = run("serve", cwd=tmp_path, **changes)
    assert (2, "", 1) == (ended.returncode, ended.stdout, ended.stderr.count("\n"))
    assert ended.stderr.startswith(line)
    assert "kanari" not in ended.stderr


def test_asking_for_a_token_in_production(tmp_path: Path) -> None:
    """Only development has the token command, and crash points neither."""
    ended = run("token", "--sub", "pp-1", cwd=tmp_path)
    assert (2, "", 1) == (ended.returncode, ended.stdout, ended.stderr.count("\n"))
    assert ended.stderr.startswith("APP_ENV: ")
