"""The whole flow as a front end walks it, on both databases."""

import pytest

from tests.canary import PASSWORD
from tests.service import Service, pp, registration

pytestmark = pytest.mark.anyio


async def test_registering_maps_the_satker(service: Service) -> None:
    """A new satker asks to register; after that it opens mbizmarket."""
    satker = await service.add(service.catalog[0])
    first = await service.http.post(f"/v1/satkers/{satker}/entry")
    assert first.json()["next_step"] == "ask_registered", first.text
    made = await service.http.post(f"/v1/satkers/{satker}/mapping/register", json=registration())
    assert (made.status_code, made.json()["status"], made.json()["via"]) == (201, "mapped", "register")
    opened = await service.http.post(f"/v1/satkers/{satker}/entry", json={"category": "ATK"})
    assert opened.json()["next_step"] == "open_mbizmarket"
    assert opened.json()["company"]["name"] == "Dinas Contoh"


async def test_logging_in_maps_the_satker(service: Service) -> None:
    """The account's only company is taken without asking."""
    await service.make_account("budi@lain.example", "PT Budi")
    satker = await service.add(service.catalog[0])
    body = {"email": "budi@lain.example", "password": PASSWORD}
    made = await service.http.post(f"/v1/satkers/{satker}/mapping/login", json=body)
    assert (made.status_code, made.json()["company"]["name"]) == (201, "PT Budi")
    again = await service.http.post(f"/v1/satkers/{satker}/mapping/login", json=body)
    assert again.status_code == 200


async def test_confirming_maps_the_satker(service: Service) -> None:
    """The verified e-mail's own company is offered, confirmed and opened."""
    await service.make_account("pp1@satker.example", "PT Satu")
    satker = await service.add(service.catalog[0])
    step = (await service.http.post(f"/v1/satkers/{satker}/entry")).json()
    assert step["next_step"] == "confirm_account"
    body = {"company_id": step["companies"][0]["company_id"]}
    made = await service.http.post(f"/v1/satkers/{satker}/mapping/confirm", json=body)
    assert (made.status_code, made.json()["via"]) == (201, "confirm")
    opened = await service.http.post(f"/v1/satkers/{satker}/entry")
    assert opened.json()["next_step"] == "open_mbizmarket"


async def test_a_second_pp_joins_with_the_right_account_alone(service: Service) -> None:
    """A colleague sees no company, is refused with a wrong account, and gets in with the right one."""
    await service.make_account("budi@lain.example", "PT Budi")
    await service.make_account("orang@lain.example", "PT Lain")
    body = {"email": "budi@lain.example", "password": PASSWORD}
    satker = await service.add(service.catalog[0])
    assert (await service.http.post(f"/v1/satkers/{satker}/mapping/login", json=body)).status_code == 201
    other = await service.add(service.catalog[0], headers=pp(2))
    seen = (await service.http.get(f"/v1/satkers/{other}/mapping", headers=pp(2))).json()
    assert (seen["status"], seen["company"]) == ("mapped_by_other", None)
    wrong = {"email": "orang@lain.example", "password": PASSWORD}
    refused = await service.http.post(f"/v1/satkers/{other}/mapping/login", json=wrong, headers=pp(2))
    assert (refused.status_code, refused.json()["code"]) == (409, "satker_already_mapped")
    joined = await service.http.post(f"/v1/satkers/{other}/mapping/login", json=body, headers=pp(2))
    assert (joined.status_code, joined.json()["status"]) == (201, "mapped")
