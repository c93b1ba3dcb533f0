"""What the contenders read: a PostgreSQL filled by SQL alone, and the requests of the load with tokens that fit it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import md5

from app.startup import migrate_database
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jose import jws
from tests.postgres import Postgres

from bench.processes import LOAD_CORE, on_core

KLPDS = 630
A_PP = 5  # satkers on the list of each PP who has mappings
CLERKS = 500  # PPs whose satkers are still to be mapped; so many readers, too
ISSUER, AUDIENCE = "bela", "satu-pp"
CATALOG = "catalog"
SATKERS = 1_050_000  # a million, and some to be mapped
SERVER = {"shared_buffers": "512MB", "max_connections": "300", "maintenance_work_mem": "256MB"}

FILL_CATALOG = (
    "DROP INDEX search_catalog_satker_words",  # made again at the end, in a tenth of the time
    f"""INSERT INTO klpd SELECT 'K' || i, 'KEMENTERIAN ' || i, 'KEMENTERIAN', ' kementerian ' || i || ' '
        FROM generate_series(0, {KLPDS - 1}) i""",
    f"""INSERT INTO catalog_satker (id, klpd_code, code, kd_satker, name, active, search)
        SELECT md5(i::text), 'K' || i % {KLPDS}, lpad(i::text, 6, '0'), i::text,
            'KANTOR WILAYAH ' || i, true, ' kantor wilayah ' || i || ' '
        FROM generate_series(1, {{satkers}}) i""",
    "CREATE INDEX search_catalog_satker_words ON catalog_satker USING gin (klpd_code, search gin_trgm_ops)",
)
FILL_MAPPINGS = (
    f"""INSERT INTO pp_satker (id, pp_id, catalog_id, is_primary, created_at, updated_at)
        SELECT md5('s' || i), 'pp-' || i / {A_PP}, md5(i::text), i % {A_PP} = 0, now(), now()
        FROM generate_series(0, {{mappings}} - 1) i WHERE i > 0""",
    """INSERT INTO attempt (id, catalog_id, pp_id, satker_id, state, via, company_id, company_name, account_id,
            sends, not_found, asks, created_at, mapped_at)
        SELECT md5('a' || md5(catalog_id)), catalog_id, pp_id, id, 'mapped', 'login', 'M-' || id, 'PT ' || id,
            'A-' || id,
            0, 0, 0, now(), now()
        FROM pp_satker""",
    """INSERT INTO access (satker_id, attempt_id, pp_id, account_id, via, granted_at)
        SELECT satker_id, id, pp_id, account_id, 'login', now() FROM attempt""",
    """INSERT INTO history (at, event, actor, actor_pp_id, pp_id, satker_id, satker_name, attempt_id, company_id,
            company_name, via, outcome)
        SELECT now(), event, 'pp', pp_id, pp_id, satker_id, 'KANTOR WILAYAH', id, company_id, company_name, via, 'ok'
        FROM attempt, (VALUES ('satker_added'), ('mapped')) AS happened(event)""",
)
FILL_TO_MAP = f"""INSERT INTO pp_satker (id, pp_id, catalog_id, is_primary, created_at, updated_at)
    SELECT md5('u' || i), 'clerk-' || i % {CLERKS}, md5(i::text), false, now(), now()
    FROM generate_series({{first}}, {{first}} + {{spare}} - 1) i"""


@dataclass(frozen=True)
class Size:
    mappings: int
    spare: int  # satkers of the clerks, for log in and map


@dataclass(frozen=True)
class Filled:
    """A database and what can be asked about it."""

    server: Postgres
    name: str
    size: Size

    def reads(self) -> list[tuple[str, str]]:
        """(PP, satker) of mappings spread over the whole table, 5 for each of so many PPs."""
        pps = max(1, self.size.mappings // A_PP - 1)
        chosen = [1 + n * pps // CLERKS % pps for n in range(min(CLERKS, pps))]
        return [(f"pp-{pp}", satker_id("s", pp * A_PP + i)) for i in range(A_PP) for pp in chosen]

    def to_map(self) -> Iterator[tuple[str, str, str]]:
        """(PP, satker, e-mail) of satkers without a mapping, each once."""
        first = self.size.mappings + 1
        for i in range(first, first + self.size.spare):
            yield f"clerk-{i % CLERKS}", satker_id("u", i), f"b{i}@mbiz.example"


def satker_id(kind: str, number: int) -> str:
    return md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server on the load's core, with a catalog and no mappings to copy from."""
    with on_core(LOAD_CORE), Postgres(settings=SERVER) as server:
        server.create_database(CATALOG)
        migrate_database(server.url(CATALOG))
        for statement in FILL_CATALOG:
            server.execute(statement.format(satkers=SATKERS), CATALOG)
        yield server


def fill(server: Postgres, name: str, size: Size) -> Filled:
    """A copy of the catalog with so many mappings."""
    server.create_database(name, template=CATALOG)
    for statement in FILL_MAPPINGS:
        server.execute(statement.format(mappings=size.mappings), name)
    server.execute(FILL_TO_MAP.format(first=size.mappings + 1, spare=size.spare), name)
    server.execute("VACUUM ANALYZE", name)
    return Filled(server, name, size)


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_key() -> str:
    pem = _key().public_key()
    return pem.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


@cache
def token(pp_id: str) -> str:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 6 * 3600,
        "sub": pp_id,
        "role": "PP",
        "email": f"{pp_id}@satker.example",
        "email_verified": True,
        "name": "Pejabat Pengadaan",
    }
    return str(jws.sign(claims, _key(), algorithm="RS256"))  # type: ignore[arg-type]


def lines(asked: Sequence[tuple[str, str]]) -> str:
    """(path, PP) as the load reads them: path, blank, token."""
    return "".join(f"{path} {token(pp)}\n" for path, pp in asked)
