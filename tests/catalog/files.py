"""Master data for tests, and the catalog as it stands in the database."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.db import Database
from app.models import CatalogSatker, Klpd
from sqlalchemy import Row, select

REDUCED = ("kd_klpd", "nama_klpd", "kd_satker_str", "nama_satker", "jumlah_paket")


def satker(kd: object = "", code: str = "", name: str = "SATKER", **more: str) -> dict[str, Any]:
    """A line as LKPP's master data has it."""
    line = {
        "kd_satker": kd,
        "kd_satker_str": code,
        "nama_satker": name,
        "kd_klpd": "K1",
        "nama_klpd": "KEMENTERIAN SATU",
        "jenis_klpd": "KEMENTERIAN",
        "status_satker": "Aktif",
        "tahun_aktif": "2024, 2025",
    }
    return line | more


def reduced(code: str, name: str, packages: object = 1, klpd: str = "K1") -> dict[str, Any]:
    """A line of the reduced file, which knows no kd_satker."""
    return dict(zip(REDUCED, (klpd, f"KLPD {klpd}", code, name, packages), strict=True))


def write(path: Path, lines: Sequence[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return path


async def satkers(database: Database) -> list[Row[Any]]:
    columns = (CatalogSatker.klpd_code, CatalogSatker.code, CatalogSatker.kd_satker, CatalogSatker.name)
    async with database.reading() as connection:
        statement = select(*columns, CatalogSatker.active, CatalogSatker.id, CatalogSatker.search)
        return list(await connection.execute(statement.order_by(*columns)))


async def names(database: Database) -> list[str]:
    return [row.name for row in await satkers(database)]


async def shown(database: Database) -> list[str]:
    return [row.name for row in await satkers(database) if row.active]


async def klpds(database: Database) -> list[tuple[str, str, str | None]]:
    async with database.reading() as connection:
        rows = await connection.execute(select(Klpd.code, Klpd.name, Klpd.kind).order_by(Klpd.code))
        return [(row.code, row.name, row.kind) for row in rows]
