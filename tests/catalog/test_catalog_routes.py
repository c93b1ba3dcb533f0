"""The catalog over HTTP."""

from typing import Any

import pytest
from app.catalog.importer import SAMPLE, import_satkers

from tests.service import Service

pytestmark = pytest.mark.anyio


async def get(service: Service, path: str, **query: Any) -> Any:
    answer = await service.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_listing_klpd_pages_through_all(service: Service) -> None:
    """By name; the last page has no cursor."""
    first = await get(service, "/v1/klpd", limit=2)
    second = await get(service, "/v1/klpd", limit=2, cursor=first["next_cursor"])

    names = [item["name"] for item in first["items"] + second["items"]]
    assert ["KABUPATEN TIGA", "KEMENTERIAN SATU", "LEMBAGA DUA"] == names
    assert second["next_cursor"] is None
    assert {"code": "D3", "name": "KABUPATEN TIGA", "kind": None} == first["items"][0]


async def test_listing_a_klpds_satkers_gives_what_adding_needs(service: Service) -> None:
    """The catalog_id can be put on the list."""
    await import_satkers(service.database, SAMPLE)

    [item] = (await get(service, "/v1/klpd/K92/satkers", q="PULAU syahbandar"))["items"]

    assert {
        "catalog_id": item["catalog_id"],
        "code": "119223",
        "kd_satker": item["kd_satker"],
        "name": "KANTOR SYAHBANDAR PELABUHAN TELUK MERAK (WILAYAH KERJA PULAU PANJANG)",
        "klpd_code": "K92",
        "klpd_name": "KEMENTERIAN PELAYARAN RAKYAT",
    } == item
    assert item["kd_satker"].isdigit()
    await service.add(item["catalog_id"])


@pytest.mark.parametrize("code", ["K9", "k1", "%00", "%25", "%F0%9F%98%80", "x" * 500])
async def test_listing_the_satkers_of_no_klpd_is_not_found(service: Service, code: str) -> None:
    """Whatever is asked for."""
    answer = await service.http.get(f"/v1/klpd/{code}/satkers")

    assert (404, "klpd_not_found") == (answer.status_code, answer.json()["code"])


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=" + "A" * 2001, "cursor"),
        ("cursor=WzAsIlx1MDAwMCIsIiJd", "cursor"),
        ("q=" + "a" * 101, "q"),
        ("q=a%00b", "q"),
        ("q=a%0Ab", "q"),
        ("page=1", "page"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/klpd", "/v1/klpd/K1/satkers"])
async def test_a_bad_query_names_its_field(
    shared_service: Service, path: str, query: str, field: str
) -> None:
    """And repeats no value."""
    answer = await shared_service.http.get(f"{path}?{query}")

    assert (422, "validation_failed") == (answer.status_code, answer.json()["code"])
    assert [field] == [error["field"] for error in answer.json()["errors"]]


async def test_the_catalog_needs_a_token(shared_service: Service) -> None:
    """It is public data, but the service is not."""
    for path in ("/v1/klpd", "/v1/klpd/K1/satkers"):
        answer = await shared_service.http.get(path, headers={"Authorization": ""})
        assert 401 == answer.status_code
