"""import-satkers: what becomes of the lines of a good file."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app.catalog.importer import SAMPLE, import_satkers
from app.catalog.report import Summary
from app.db import Database

from tests.catalog.files import klpds, names, reduced, satker, satkers, shown, write

pytestmark = pytest.mark.anyio


def counts(summary: Summary) -> dict[str, int]:
    """What is not nought, without the K/L/P/D."""
    named = "read inserted updated unchanged merged rejected moved adopted hidden deactivated"
    return {name: getattr(summary, name) for name in named.split() if getattr(summary, name)}


@pytest.fixture
def bring(database: Database, tmp_path: Path) -> Any:
    """Imports these lines and answers the counts."""

    async def bring(*lines: dict[str, Any], **options: Any) -> dict[str, int]:
        return counts(await import_satkers(database, write(tmp_path / "satkers.csv", lines), **options))

    return bring


async def test_importing_the_sample_catalog_fills_it(database: Database) -> None:
    """Every kind of K/L/P/D is in it, codes keep their zeros, and two satkers share a code."""
    summary = await import_satkers(database, SAMPLE)

    assert {"read": 62, "inserted": 62, "hidden": 2} == counts(summary)
    kinds = {kind for _, _, kind in await klpds(database)}
    assert {"KEMENTERIAN", "LEMBAGA", "PROVINSI", "KABUPATEN", "KOTA"} == kinds
    codes = [row.code for row in await satkers(database)]
    assert "009101" in codes
    assert 2 == codes.count("119223")


async def test_importing_the_same_file_again_changes_nothing(database: Database) -> None:
    """Every satker is unchanged, and keeps its id."""
    await import_satkers(database, SAMPLE)
    before = await satkers(database)

    summary = await import_satkers(database, SAMPLE)

    assert {"read": 62, "unchanged": 62, "hidden": 2} == counts(summary)
    assert (6, 0, 0) == (summary.klpds, summary.klpds_inserted, summary.klpds_updated)
    assert before == await satkers(database)


async def test_importing_several_spellings_of_a_code_shows_the_one_with_most_packages(
    database: Database, bring: Any
) -> None:
    """The other spellings count as merged and stay searchable."""
    lines = [
        reduced("035157", "KANWIL JATENG", 9),
        reduced("035157", "KANWIL", 30),
        reduced("035157", "KW", 2),
    ]

    assert {"read": 3, "inserted": 1, "merged": 2} == await bring(*lines)
    [row] = await satkers(database)
    assert "KANWIL" == row.name
    assert {"kanwil", "jateng", "kw", "035157"} == set(row.search.split())


async def test_importing_spellings_with_equal_packages_shows_the_last(database: Database, bring: Any) -> None:
    """Nothing else tells them apart."""
    await bring(reduced("1", "PERTAMA", 5), reduced("1", "KEDUA", 5), reduced("1", "KETIGA", 4))

    assert ["KEDUA"] == await names(database)


async def test_importing_a_new_spelling_later_keeps_the_old_one_searchable(
    database: Database, bring: Any
) -> None:
    """People go on typing what they know."""
    await bring(reduced("1", "DINAS PERHUTANAN"))

    assert {"read": 1, "updated": 1} == await bring(reduced("1", "DINAS KEHUTANAN"))
    [row] = await satkers(database)
    assert "DINAS KEHUTANAN" == row.name
    assert "perhutanan" in row.search


async def test_importing_a_line_without_any_code_rejects_it(
    bring: Any, database: Database, tmp_path: Path
) -> None:
    """The rejects have its number, the reason and the line as it was."""
    rejects = tmp_path / "rejects.csv"
    lines = [reduced("1", "A"), reduced("", 'B "b"'), reduced("2", "C")]

    assert {"read": 3, "inserted": 2, "rejected": 1} == await bring(*lines, rejects=rejects)
    with rejects.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    original = 'K1,KLPD K1,,"B ""b""",1'
    assert [["line", "reason", "original"], ["3", "the code is blank", original]] == rows


async def test_importing_a_line_without_code_but_with_kd_satker_takes_it(
    database: Database, bring: Any
) -> None:
    """kd_satker alone tells the satker."""
    assert {"read": 1, "inserted": 1} == await bring(satker(7, "", "TANPA KODE"))
    [row] = await satkers(database)
    assert ("7", None) == (row.kd_satker, row.code)


async def test_importing_two_satkers_of_one_code_keeps_them_apart(database: Database, bring: Any) -> None:
    """Their kd_satker differ."""
    assert {"read": 2, "inserted": 2} == await bring(satker(1, "0001", "SATU"), satker(2, "0001", "DUA"))
    assert ["SATU", "DUA"] == await names(database)


async def test_importing_kd_satker_later_adopts_the_row_known_by_code(database: Database, bring: Any) -> None:
    """It keeps its id, so mappings stay."""
    await bring(reduced("0001", "SATU"))
    [before] = await satkers(database)

    assert {"read": 1, "updated": 1, "adopted": 1} == await bring(satker(1, "0001", "SATU"))
    [after] = await satkers(database)
    assert (before.id, "1") == (after.id, after.kd_satker)


async def test_importing_two_kd_satkers_for_a_row_known_by_code_adopts_nothing(
    database: Database, bring: Any
) -> None:
    """Nobody can say which of them it was."""
    await bring(reduced("0001", "LAMA"))

    lines = [satker(1, "0001", "SATU"), satker(2, "0001", "DUA")]
    assert {"read": 2, "inserted": 2} == await bring(*lines)
    assert {"read": 2, "unchanged": 2} == await bring(*lines)
    assert {"LAMA", "SATU", "DUA"} == set(await names(database))


async def test_importing_a_code_that_means_one_kd_satker_finds_it(database: Database, bring: Any) -> None:
    """A reduced file after the master data makes no second satker."""
    await bring(satker(1, "0001", "SATU"))

    assert {"read": 1, "unchanged": 1} == await bring(reduced("0001", "SATU"))
    assert ["1"] == [row.kd_satker for row in await satkers(database)]


async def test_importing_a_code_that_means_two_kd_satkers_rejects_the_line(
    database: Database, bring: Any, tmp_path: Path
) -> None:
    """And both stay, also under --deactivate-missing."""
    await bring(satker(1, "0001", "SATU"), satker(2, "0001", "DUA"))
    rejects = tmp_path / "rejects.csv"

    ambiguous = [reduced("0001", "SATU"), reduced("0001", "SATU JUGA")]
    done = await bring(*ambiguous, deactivate_missing=True, rejects=rejects)

    assert {"read": 2, "rejected": 2} == done
    assert ["SATU", "DUA"] == await shown(database)
    assert "SATU JUGA" in rejects.read_text()


async def test_importing_lines_with_and_without_kd_satker_joins_them_by_code(
    database: Database, bring: Any
) -> None:
    """Within one file too, in whatever order; a second run changes nothing."""
    lines = [satker("", "0001", "SATU (LAMA)"), satker(1, "0001", "SATU")]

    assert {"read": 2, "inserted": 1, "merged": 1} == await bring(*lines)
    assert {"read": 2, "unchanged": 1, "merged": 1} == await bring(*lines)
    [row] = await satkers(database)
    assert ("1", "SATU") == (row.kd_satker, row.name)


async def test_importing_a_satker_under_another_klpd_moves_it(
    database: Database, bring: Any, tmp_path: Path
) -> None:
    """Ministries split. It keeps its id, and the report tells."""
    await bring(satker(1, "0001", "SATU"))
    [before] = await satkers(database)

    moved = satker(1, "0001", "SATU", kd_klpd="K9", nama_klpd="KEMENTERIAN SEMBILAN")
    summary = await import_satkers(database, write(tmp_path / "moved.csv", [moved]))

    assert {"read": 1, "updated": 1, "moved": 1} == counts(summary)
    [after] = await satkers(database)
    assert (before.id, "K9") == (after.id, after.klpd_code)
    assert "moved: kd_satker 1 from K1 to K9" in summary.text()


async def test_importing_a_satker_that_is_not_active_hides_it(database: Database, bring: Any) -> None:
    """And shows it again when it is."""
    assert {"read": 1, "inserted": 1, "hidden": 1} == await bring(satker(1, "1", status_satker="Tidak Aktif"))
    assert [] == await shown(database)

    assert {"read": 1, "updated": 1} == await bring(satker(1, "1", status_satker="AKTIF"))
    assert ["SATKER"] == await shown(database)


async def test_deactivating_missing_hides_what_the_file_no_longer_has(database: Database, bring: Any) -> None:
    """For the K/L/P/D in the file only."""
    await bring(
        satker(1, "1", "TETAP"),
        satker(2, "2", "HILANG"),
        satker(3, "3", "LAIN", kd_klpd="K2", nama_klpd="DUA"),
    )

    done = await bring(satker(1, "1", "TETAP"), satker(4, "4", "BARU"), deactivate_missing=True)

    assert {"read": 2, "inserted": 1, "unchanged": 1, "deactivated": 1} == done
    assert ["TETAP", "BARU", "LAIN"] == await shown(database)


async def test_deactivating_missing_keeps_those_whose_lines_are_rejected(
    database: Database, bring: Any
) -> None:
    """The file has them: a slip in a name must not hide a satker."""
    await bring(
        satker(1, "1", "SATU"), satker("", "2", "DUA"), satker(3, "3", "TIGA"), satker(4, "4", "EMPAT")
    )

    slips = [
        satker("01", "1", ""),
        satker("", "2", "A" * 301),
        satker("x", "3", "TIGA"),
        satker(5, "5", "LIMA"),
    ]
    done = await bring(*slips, deactivate_missing=True)

    assert {"read": 4, "inserted": 1, "rejected": 3, "deactivated": 1} == done
    assert ["SATU", "DUA", "TIGA", "LIMA"] == await shown(database)


async def test_a_dry_run_reports_the_same_and_changes_nothing(database: Database, bring: Any) -> None:
    """Inserts, updates, moves and hiding alike."""
    await bring(
        satker(1, "1", "A"),
        satker(2, "2", "B"),
        satker(3, "3", "C"),
        satker("", "4", "D"),
    )
    before = (await satkers(database), await klpds(database))
    lines = [
        satker(1, "1", "A BARU"),
        satker(2, "2", "B", kd_klpd="K2", nama_klpd="DUA"),
        satker(4, "4", "D"),
        satker(5, "5", "E"),
        satker("", "", "F"),
    ]

    dry = await bring(*lines, dry_run=True, deactivate_missing=True)

    assert before == (await satkers(database), await klpds(database))
    assert dry == await bring(*lines, deactivate_missing=True)
    assert {"inserted": 1, "updated": 3, "deactivated": 1}.items() <= dry.items()


async def test_importing_another_name_of_a_klpd_renames_it(database: Database, bring: Any) -> None:
    """A file that does not tell its kind leaves the kind."""
    await bring(satker(1, "1"))

    await bring(reduced("1", "SATKER"))

    assert [("K1", "KLPD K1", "KEMENTERIAN")] == await klpds(database)


async def test_importing_more_than_a_batch_counts_every_line(database: Database, bring: Any) -> None:
    """Spellings that lie far apart in the file are one satker."""
    lines = [reduced(f"{n % 2500:06}", f"SATKER {n % 2500}", n) for n in range(5000)]

    assert {"read": 5000, "inserted": 2500, "merged": 2500} == await bring(*lines)
    assert {"read": 5000, "unchanged": 2500, "merged": 2500} == await bring(*lines)


async def test_codes_that_lost_their_zeros_are_warned_about(database: Database, tmp_path: Path) -> None:
    """A spreadsheet turns 035157 into 35157."""
    lines = [reduced("123456", "A"), reduced("234567", "B"), reduced("35157", "C")]

    summary = await import_satkers(database, write(tmp_path / "satkers.csv", lines))

    assert "warning: 1 codes have fewer than 6 digits, the first in line 4" in summary.text()


async def test_the_report_adds_up() -> None:
    """And names the lines that were rejected."""
    summary = Summary(read=5, inserted=1, updated=1, unchanged=1, merged=1)
    summary.reject(7, "the code is blank")

    text = replace(summary, klpds=1).text()

    assert "read 5, inserted 1, updated 1, unchanged 1, merged 1, rejected 1" in text
    assert "rejected 1, the code is blank: line 7" in text
