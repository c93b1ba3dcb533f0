"""import-mappings: every line applied once, one company a satker, and a report whose counts add up."""

import json
from pathlib import Path
from typing import Any

import pytest
from app.catalog.importer import silent
from app.catalog.sources import BadSource
from app.invariants import violations
from app.mapping.legacy import Report, import_mappings
from app.models import Access, Attempt, CatalogSatker, History, PpSatker
from sqlalchemy import insert, select, update

from tests.canary import PASSWORD
from tests.service import Service, bearer, pp

pytestmark = pytest.mark.anyio

HEADER = "pp_id,email,klpd_code,satker_code,kd_satker,company_id,company_name,account_id,preferred"


async def load(service: Service, folder: Path, *lines: str, dry_run: bool = False) -> Report:
    """Imports these lines. The catalog's satkers have the codes 000001 to 000012, and kd_satker 1001 to 1012."""
    path = folder / "mappings.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return await import_mappings(service.database, path, dry_run=dry_run, progress=silent)


async def rows(service: Service, *columns: Any) -> list[tuple[Any, ...]]:
    async with service.database.reading() as db:
        return sorted(tuple(row) for row in (await db.execute(select(*columns))).all())


async def everything(service: Service) -> list[list[tuple[Any, ...]]]:
    tables = (
        (PpSatker.pp_id, PpSatker.catalog_id, PpSatker.is_primary),
        (Attempt.catalog_id, Attempt.company_id, Attempt.state, Attempt.via),
        (Access.pp_id, Access.account_id, Access.via),
        (History.id, History.event, History.outcome),
    )
    return [await rows(service, *columns) for columns in tables]


async def test_an_imported_pair_goes_straight_in(service: Service, tmp_path: Path) -> None:
    """The PP finds the satker on the list, primary and mapped, and opens mbizmarket at once."""
    account = await service.make_account("lama@lain.example", "PT Lama")
    company = account["companies"][0]["company_id"]
    report = await load(service, tmp_path, f"pp-1,,K1,000001,,{company},PT Lama,{account['account_id']},")
    assert {"mapped": 1} == report.outcomes
    [satker] = (await service.http.get("/v1/satkers")).json()["items"]
    assert (True, "mapped", "PT Lama") == (
        satker["is_primary"],
        satker["mapping"]["status"],
        satker["mapping"]["company"]["name"],
    )
    mapping = (await service.http.get(f"/v1/satkers/{satker['id']}/mapping")).json()
    assert "legacy" == mapping["via"]
    entry = (await service.http.post(f"/v1/satkers/{satker['id']}/entry")).json()
    assert "open_mbizmarket" == entry["next_step"]


async def test_a_blank_account_is_found_by_the_verified_email(service: Service, tmp_path: Path) -> None:
    """At the first entry, when the account of the PP's own address holds the company; else the PP logs in."""
    account = await service.make_account("pp1@satker.example", "PT Lama")
    company = account["companies"][0]["company_id"]
    await load(
        service, tmp_path, f"pp-1,,K1,000001,,{company},PT Lama,,", f"pp-9,,K1,000001,,{company},PT Lama,,"
    )
    path = f"/v1/satkers/{(await service.http.get('/v1/satkers')).json()['items'][0]['id']}/entry"
    unverified = await service.http.post(path, headers=bearer(email_verified=False))
    assert ("log_in", "account_unknown") == (unverified.json()["next_step"], unverified.json()["reason"])
    assert "open_mbizmarket" == (await service.http.post(path)).json()["next_step"]
    remembered = await rows(service, Access.pp_id, Access.account_id)
    assert [("pp-1", account["account_id"]), ("pp-9", None)] == remembered
    assert (
        "open_mbizmarket" == (await service.http.post(path, headers=bearer(email=None))).json()["next_step"]
    )


async def test_several_companies_for_one_satker(service: Service, tmp_path: Path) -> None:
    """The preferred line wins wherever it stands, else the first; the others are listed with both companies."""
    report = await load(
        service,
        tmp_path,
        "pp-a,,K1,000001,,C-1,PT Satu,A-1,",
        "pp-b,,K1,000001,,C-2,PT Dua,A-2,1",
        "pp-c,,K1,000002,,C-3,PT Tiga,A-3,",
        "pp-d,,K1,000002,,C-4,PT Empat,A-4,",
        "pp-e,,K1,000001,,C-2,PT Dua,A-5,",
    )
    assert {"mapped": 2, "joined": 1, "satker_conflict": 2} == report.outcomes
    assert [
        (2, "company C-1 (PT Satu): the satker has C-2 (PT Dua)"),
        (5, "company C-4 (PT Empat): the satker has C-3 (PT Tiga)"),
    ] == sorted(report.notes)
    assert ["pp-b", "pp-c", "pp-e"] == [pp_id for (pp_id,) in await rows(service, Access.pp_id)]
    assert ["pp-a", "pp-b", "pp-c", "pp-d", "pp-e"] == [
        pp_id for (pp_id,) in await rows(service, PpSatker.pp_id)
    ]


async def test_one_company_for_two_satkers(service: Service, tmp_path: Path) -> None:
    """The second satker is on the list, without the company; the report says whom it serves."""
    report = await load(service, tmp_path, "pp-a,,K1,000001,,C-1,PT Satu,,", "pp-b,,K1,000002,,C-1,PT Satu,,")
    assert {"mapped": 1, "company_conflict": 1} == report.outcomes
    assert "serves Satker Kementerian Satu 0 (K1 000001)" in report.text()


async def test_importing_twice(service: Service, tmp_path: Path) -> None:
    """A second run changes nothing, and lists the conflicts again."""
    lines = (
        "pp-a,,K1,000001,,C-1,PT Satu,A-1,",
        "pp-a,,K1,000002,,,,,",
        "pp-b,,K1,000001,,C-2,PT Dua,A-2,",
        "pp-c,,,,1003,C-3,PT Tiga,A-3,",
    )
    first = await load(service, tmp_path, *lines)
    before = await everything(service)
    second = await load(service, tmp_path, *lines)
    assert {"mapped": 2, "satker_only": 1, "satker_conflict": 1} == first.outcomes
    assert {"applied before": 4} == second.outcomes
    assert first.notes == second.notes
    assert before == await everything(service)


async def test_a_dry_run(service: Service, tmp_path: Path) -> None:
    """It prints the same report and changes nothing."""
    lines = (
        "pp-a,,K1,000001,,C-1,PT Satu,,",
        "pp-b,,K1,000001,,C-2,PT Dua,,",
        "pp-c,,K9,000001,,C-3,PT Tiga,,",
    )
    before = await everything(service)
    tried = await load(service, tmp_path, *lines, dry_run=True)
    assert before == await everything(service)
    done = await load(service, tmp_path, *lines)
    assert ["Dry run: nothing was changed.", *done.text().splitlines()] == tried.text().splitlines()


async def test_a_line_is_never_applied_again(service: Service, tmp_path: Path) -> None:
    """Whatever the PP has changed since stays changed."""
    line = "pp-1,,K1,000001,,C-1,PT Satu,A-1,"
    await load(service, tmp_path, line)
    [satker] = (await service.http.get("/v1/satkers")).json()["items"]
    assert 204 == (await service.http.delete(f"/v1/satkers/{satker['id']}?unlink=true")).status_code
    report = await load(service, tmp_path, line, "pp-2,,K1,000001,,C-1,PT Satu,A-1,")
    assert {"applied before": 1, "mapped": 1} == report.outcomes
    assert 0 == (await service.http.get("/v1/satkers")).json()["total"]


async def test_an_import_that_died_half_way(service: Service, tmp_path: Path) -> None:
    """A second run applies what is missing: the counts add up, and nothing is doubled."""
    lines = [f"pp-{number},,K1,00000{number},,C-{number},PT {number},," for number in range(1, 5)]
    await load(service, tmp_path, *lines[:2])
    report = await load(service, tmp_path, *lines)
    assert {"applied before": 2, "mapped": 2} == report.outcomes
    assert 4 == len(await rows(service, Attempt.id))


async def test_the_primary_satker(service: Service, tmp_path: Path) -> None:
    """A PP's first line names the satker that came with the account, also where another is primary by now."""
    mine = await service.add(service.catalog[5])
    await load(service, tmp_path, "pp-1,,K1,000001,,,,,", "pp-1,,K1,000002,,,,,")
    primary = (await service.http.get("/v1/satkers?is_primary=true")).json()["items"]
    assert ["000001"] == [satker["satker_code"] for satker in primary]
    assert mine not in [satker["id"] for satker in primary]


async def primary(service: Service) -> list[str]:
    items = (await service.http.get("/v1/satkers?is_primary=true")).json()["items"]
    return [satker["satker_code"] for satker in items]


async def test_a_first_line_that_is_rejected(service: Service, tmp_path: Path) -> None:
    """The next satker is primary meanwhile: a list always has one. The first takes over when it can be applied."""
    lines = ("pp-1,,K1,000099,,,,,", "pp-1,,K1,000002,,C-2,PT Dua,,", "pp-1,,K1,000003,,,,,")
    report = await load(service, tmp_path, *lines)
    assert {"rejected": 1, "mapped": 1, "satker_only": 1} == report.outcomes
    assert ["000002"] == await primary(service)
    assert [] == await violations(service.database)
    async with service.database.begin() as tx:
        await tx.execute(
            update(CatalogSatker).where(CatalogSatker.id == service.catalog[0]).values(code="000099")
        )
    assert {"applied before": 2, "satker_only": 1} == (await load(service, tmp_path, *lines)).outcomes
    assert ["000099"] == await primary(service)


async def test_a_preferred_line_of_a_pp_who_has_another_first(service: Service, tmp_path: Path) -> None:
    """It is applied sooner; the first line's satker is primary all the same."""
    await load(service, tmp_path, "pp-1,,K1,000001,,C-1,PT Satu,,", "pp-1,,K1,000002,,C-2,PT Dua,,1")
    assert ["000001"] == await primary(service)
    assert [] == await violations(service.database)


async def test_a_list_that_is_full(service: Service, tmp_path: Path) -> None:
    """The 201st satker is rejected; a company for one that is there is not."""
    rows = [
        {"id": f"c{n}", "klpd_code": "K1", "kd_satker": f"{n}", "active": True, "name": "N", "search": " n "}
        for n in range(1, 201)
    ]
    async with service.database.begin() as tx:
        await tx.execute(insert(CatalogSatker), rows)
    lines = [f"pp-1,,,,{n:03},,,," for n in range(1, 201)]
    more = ("pp-1,,K1,000001,,C-1,PT Satu,,", "pp-1,,,,7,C-1,PT Satu,,")
    report = await load(service, tmp_path, *lines, *more)
    assert {"satker_only": 200, "rejected": 1, "mapped": 1} == report.outcomes
    assert {"the PP has 200 satkers": [202]} == report.rejected
    assert [] == await violations(service.database)


async def test_json_whose_objects_differ(service: Service, tmp_path: Path) -> None:
    """What is missing is blank; what no database can hold is rejected."""
    path = tmp_path / "mappings.json"
    good = {"pp_id": "pp-1", "company_id": "C-1", "kd_satker": 1001}
    bad = [{"kd_satker": 1001}, {**good, "company_name": "\ud800"}, {**good, "kd_satker": "x"}, 7]
    path.write_text(json.dumps([good, {"pp_id": "pp-2", "kd_satker": 1001}, *bad]))
    report = await import_mappings(service.database, path, progress=silent)
    assert {"mapped": 1, "satker_only": 1, "rejected": 4} == report.outcomes


async def test_lines_that_cannot_be_applied(service: Service, tmp_path: Path) -> None:
    """Each is rejected with its line and the reason; the others are applied."""
    report = await load(
        service,
        tmp_path,
        ",,K1,000001,,C-1,PT Satu,,",
        "pp-a,,,,,C-1,PT Satu,,",
        "pp-b,,K1,999999,,C-1,PT Satu,,",
        "pp-c,,K1,000001,,C-1,PT Satu,,ja",
        "pp-d,,K1,000001,,C-1,PT Satu,,0",
        f"pp-e,,K1,000001,,{'C' * 201},PT Satu,,",
    )
    assert {"rejected": 5, "mapped": 1} == report.outcomes
    assert {
        "pp_id is blank": [2],
        "neither kd_satker nor klpd_code with satker_code": [3],
        "preferred is neither 0, 1 nor blank": [5],
        "a value is over 200 characters, or has control characters in it": [7],
        "no such satker in the catalog": [4],
    } == report.rejected


async def test_a_satker_whose_registration_is_open(service: Service, tmp_path: Path) -> None:
    """It is left alone, and a later run maps it; what the PP has changed on their list meanwhile stays."""
    satker = await service.add(service.catalog[0])
    await service.fault("register", "html_200")
    body = {
        "email": "baru@satker.example",
        "password": PASSWORD,
        "contact_name": "Budi",
        "phone": "0812345678",
        "company": {
            "name": "PT Baru",
            "address": {"street": "Jalan 1", "city": "Bandung", "postal_code": "40111"},
        },
    }
    assert 202 == (await service.http.post(f"/v1/satkers/{satker}/mapping/register", json=body)).status_code
    line = "pp-9,,K1,000001,,C-1,PT Satu,,"
    gone = "pp-8,,K1,000001,,C-1,PT Satu,,"
    assert {"in_progress": 2} == (await load(service, tmp_path, line, gone)).outcomes

    other = await service.add(service.catalog[1], headers=pp(9))
    await service.http.patch(f"/v1/satkers/{other}", json={"is_primary": True}, headers=pp(9))
    [taken_off] = (await service.http.get("/v1/satkers", headers=pp(8))).json()["items"]
    await service.http.delete(f"/v1/satkers/{taken_off['id']}", headers=pp(8))

    await service.http.post(f"/v1/satkers/{satker}/entry")
    again = await load(service, tmp_path, line, gone)
    assert {"satker_conflict": 1, "applied before": 1} == again.outcomes
    chosen = (await service.http.get("/v1/satkers?is_primary=true", headers=pp(9))).json()["items"]
    assert [other] == [satker["id"] for satker in chosen]
    assert 0 == (await service.http.get("/v1/satkers", headers=pp(8))).json()["total"]


async def test_what_the_history_says(service: Service, tmp_path: Path) -> None:
    """The import is in the history of its PP, as an operator's act."""
    await load(service, tmp_path, "pp-1,,K1,000001,,C-1,PT Satu,,")
    events = await rows(service, History.event, History.actor, History.pp_id)
    assert ("imported", "operator", "pp-1") in events
    assert ("satker_added", "operator", "pp-1") in events


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "the file is empty"),
        ("<html>blocked</html>", "web page"),
        ("pp_id,satker_code\n", "company_id not found"),
        ("pp_id,company_id,kd_satker\n", "holds no record"),
        ("pp_id,company_id\n", "kd_satker or satker_code not found"),
        ("pp_id,company_id,company_id,kd_satker\n", "named twice"),
    ],
)
async def test_a_file_of_no_use(service: Service, tmp_path: Path, text: str, line: str) -> None:
    """One clear line, and nothing done."""
    path = tmp_path / "mappings.csv"
    path.write_text(text)
    with pytest.raises(BadSource, match=line):
        await import_mappings(service.database, path, progress=silent)
