"""Ways in that somebody with bad intentions would try, each found open or doubtful once."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from app.address import client_address, networks
from app.mbiz.sandbox import create_sandbox

from tests.mapping.people import person, said
from tests.mapping.wires import serving
from tests.service import Service, bearer
from tests.test_settings import run

pytestmark = pytest.mark.anyio

# U+212A, the sign of Kelvin: another letter, and so another mailbox, that folds into k as mbizmarket compares.
KELVIN = "\u212a"


@pytest.mark.parametrize("second", ["Bearer x", "Basic eDp4", "", "the same"])
@pytest.mark.parametrize("first", [True, False])
async def test_two_tokens_at_once(shared_service: Service, second: str, first: bool) -> None:
    """Neither counts: a gateway may have looked at the other one. The answer is that of no token at all."""
    good = bearer()["Authorization"]
    both = [good, good if second == "the same" else second]
    headers = [("Authorization", value) for value in (both if first else reversed(both))]
    answer = await _alone(shared_service, headers)
    assert (401, "unauthenticated") == said(answer)
    assert 200 == (await _alone(shared_service, [("Authorization", good)])).status_code


async def _alone(service: Service, headers: list[tuple[str, str]]) -> httpx.Response:
    wire = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(transport=wire, base_url="http://api") as http:
        return await http.get("/v1/satkers", headers=headers)


async def test_a_language_behind_many(shared_service: Service) -> None:
    """Only the beginning of Accept-Language is looked at: reading all of it would cost more than a token does."""
    for many, language in ((3, "en"), (100, "id")):
        header = "id;q=0.1, " + "xx, " * many + "en"
        answer = await shared_service.http.get("/v1/satkers", headers={"Accept-Language": header})
        assert language == answer.headers["Content-Language"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", True),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\u00e9", False),
        ("\u00e9", False),
        ("x" * 60_000, False),
        ("00-trace", False),
        (" ", False),
    ],
)
async def test_a_trace_that_is_none(sqlite_url: str, tmp_path: Path, given: str, sent: bool) -> None:
    """mbizmarket is asked as ever, and what is no trace stays here."""
    traces: list[str | None] = []
    market = create_sandbox(tmp_path / "mbiz.db", client_id="satu-pp", client_secret="client-secret")

    class Listening(httpx.ASGITransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.startswith("/v1/"):
                traces.append(request.headers.get("traceparent"))
            return await super().handle_async_request(request)

    async with serving(sqlite_url, Listening(market)) as service:
        headers: Any = {**(await person(service)).headers, "traceparent": given.encode("latin-1")}
        assert 200 == (await service.http.get("/v1/mbiz-account", headers=headers)).status_code
    assert [given if sent else None] == traces


async def test_somebody_elses_mailbox_in_other_letters(sqlite_service: Service) -> None:
    """For mbizmarket `Kita` with a Kelvin sign is `kita`; for a mail server it is not, so it proves nothing."""
    service = sqlite_service
    account = await service.make_account("kita@lain.example", "PT Kita")
    thief = await person(service, email=f"{KELVIN}ita@lain.example")
    answer = await service.http.get("/v1/mbiz-account", headers=thief.headers)
    assert (200, False, []) == (answer.status_code, answer.json()["has_account"], answer.json()["companies"])
    assert "ask_registered" == await thief.step()
    assert (404, "company_not_found") == said(await thief.confirm(account["companies"][0]["company_id"]))
    owner = await person(service, 2, 1, email="KITA@lain.example")
    assert "confirm_account" == await owner.step()


async def test_guessing_in_other_letters(sqlite_service: Service) -> None:
    """All spellings that mbizmarket takes for one address share one budget, so its lock is never reached."""
    service = sqlite_service
    await service.make_account("kakak@lain.example", "PT Kakak")
    who = await person(service)
    spellings = [
        f"{first}a{second}a{third}@lain.example"
        for first in "kK"
        for second in f"k{KELVIN}"
        for third in "kK"
    ]
    said_ = [said(await who.log_in(email, "salah"))[0] for email in spellings]
    assert [422] * 5 + [429] * 3 == said_


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "", "2001:db8:1:3::/64"),
        ("::1", "", "::/64"),
        ("10.0.0.1", "2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("10.0.0.1", "fe80::1%" + "a" * 60_000, "10.0.0.1"),
    ],
)
def test_an_address_for_each_guess(peer: str, forwarded: str, address: str) -> None:
    """Whoever has an IPv6 network has 2**64 addresses: they count as one."""
    assert address == client_address(peer, forwarded, networks(["10.0.0.0/8"]))


def test_another_user_of_the_machine(tmp_path: Path) -> None:
    """The files of a database are for the user alone who runs the service."""
    assert 0 == run("migrate", cwd=tmp_path, DATABASE_URL="sqlite+aiosqlite:///satker.db").returncode
    assert {"satker.db": 0o600} == {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
