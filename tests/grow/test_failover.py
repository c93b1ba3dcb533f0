"""The database's primary dies under load, its standby is promoted: no setting changes, nothing is lost."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from app.startup import migrate_database

from tests.conftest import fill_catalog
from tests.crash.processes import wait_until
from tests.grow.conftest import FIGURES
from tests.grow.fleet import FULL, Load, fleet_on, needs_proxy, needs_redis
from tests.grow.pair import Standby, replicated, several_hosts
from tests.grow.people import Promises, linking, mapped, reading
from tests.postgres import Postgres
from tests.service import running

WITHIN = 30.0  # seconds from the promotion to the first change
FINE = {(200, "mapped"), (201, "mapped"), (202, "checking")}
AWAY = (503, "database_unavailable")


@pytest.fixture
def pair() -> Iterator[tuple[Postgres, Standby]]:
    with Postgres(tcp=True) as primary:
        primary.create_database("satker")
        migrate_database(primary.url("satker"))
        with replicated(primary) as standby:
            yield primary, standby


@needs_proxy
@needs_redis
@pytest.mark.parametrize("turn", range(5 if FULL else 1))
def test_the_primary_dies_under_load(pair: tuple[Postgres, Standby], tmp_path: Path, turn: int) -> None:
    """Nothing but 503 until the promotion, then everything; every mapping that was told of is there."""
    primary, standby = pair
    with fleet_on(several_hosts("satker", primary, standby), tmp_path, 2) as fleet:
        promises = Promises()
        readers = [mapped(fleet) for _ in range(2)]
        load = Load([*map(reading, readers), *(linking(fleet, promises) for _ in range(4))])
        with load:
            time.sleep(2 + turn)
            primary.kill()
            killed = time.monotonic()
            time.sleep(2)
            standby.promote()
            promoted = time.monotonic()
            wait_until(lambda: since(load, promoted, "link"), WITHIN, f"no change: {load.tally()}")
            wait_until(lambda: since(load, promoted, "read"), WITHIN, f"no read: {load.tally()}")
            time.sleep(2 + turn)
        took = min(since(load, promoted, "link")) - promoted
        assert took < WITHIN
        assert {answer.said for _, _, answer in load.said} <= FINE | {AWAY}, load.tally()
        assert any(answer.said == AWAY for at, _, answer in load.said if killed < at < promoted)
        wait_until(lambda: not fleet.open_attempts(), 60, "never settled")
        assert len(promises) > 4
        assert [] == promises.broken(fleet)
        assert [] == fleet.violations()
        FIGURES.append(
            f"primary killed: first change {took:.2f} s after the promotion, {len(promises)} mappings told of and "
            f"kept, {sum(answer.said == AWAY for _, _, answer in load.said)} of {len(load.said)} answers were 503"
        )


def since(load: Load, moment: float, deed: str) -> list[float]:
    """When this was done with success after that moment."""
    done = ((at, answer) for at, name, answer in list(load.said) if name == deed)
    return [at for at, answer in done if at > moment and answer.said in FINE]


@pytest.mark.anyio
async def test_there_is_only_a_standby(pair: tuple[Postgres, Standby], tmp_path: Path) -> None:
    """It takes no changes: 503 for whoever asks, on every way into the database, and not ready."""
    primary, standby = pair
    async with running(primary.url("satker"), tmp_path) as service:
        (catalog_id, *_) = await fill_catalog(service.database)
        satker = await service.add(catalog_id)
    async with running(standby.tcp_url("satker"), tmp_path) as service:
        for method, path in (("GET", f"satkers/{satker}/mapping"), ("GET", "satkers"), ("POST", "satkers")):
            body = {"catalog_id": catalog_id} if method == "POST" else None
            answers = [await service.http.request(method, f"/v1/{path}", json=body) for _ in range(2)]
            assert [AWAY] * 2 == [(answer.status_code, answer.json()["code"]) for answer in answers], path
        assert 503 == (await service.http.get("/readyz")).status_code


@pytest.mark.anyio
async def test_the_server_takes_no_changes_for_a_while(postgres_alone: Postgres, tmp_path: Path) -> None:
    """As a managed one does when its disk is full: changes are 503, what is connected reads on, and it heals."""
    async with running(postgres_alone.url("satker"), tmp_path) as service:
        first, second, *_ = await fill_catalog(service.database)
        satker = await service.add(first)
        read_only(postgres_alone, "on")
        for _ in range(2):
            refused = await service.http.post("/v1/satkers", json={"catalog_id": second})
            assert AWAY == (refused.status_code, refused.json()["code"])
            assert 200 == (await service.http.get(f"/v1/satkers/{satker}")).status_code
        read_only(postgres_alone, "off")
        await service.add(second)


@pytest.fixture
def postgres_alone() -> Iterator[Postgres]:
    with Postgres() as server:
        server.create_database("satker")
        migrate_database(server.url("satker"))
        yield server


def read_only(server: Postgres, value: str) -> None:
    server.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    server.execute("SELECT pg_reload_conf()")
    wait_until(lambda: value == server.execute("SHOW default_transaction_read_only"))
