"""The statements of docs/security.md, each shown once, directly; the thorough tests are named there."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.address import client_address, networks
from app.cli import cli
from app.mbiz.contract import NewRegistration
from app.throttle import FAILED_PER_ADDRESS, FAILED_PER_EMAIL, FAILED_PER_PP, REGISTRATIONS_PER_PP
from click.testing import CliRunner
from starlette.requests import Request

from tests.canary import PASSWORD
from tests.mapping.people import person, said, told
from tests.mapping.test_throttles import cost
from tests.mapping.wires import held, serving
from tests.mbiz.servers import answers, self_signed
from tests.mbiz.servers import serving as listening
from tests.security.portal import raw
from tests.service import Service, bearer, registration, running, settings_for, statements_of
from tests.test_auth import claims as good_claims
from tests.test_auth import encode, seal
from tests.test_errors import BODIES, OPERATIONS, body_name, operator
from tests.test_settings import GOOD

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
NOBODY = {"Authorization": "x"}
SATKERS = [each for each in OPERATIONS if "/satkers/tidak-ada" in each[1] and "/klpd/" not in each[1]]
OPEN = {"/healthz", "/readyz", "/docs", "/openapi.json"}


def same(answer: httpx.Response) -> tuple[int, dict[str, Any], str]:
    """All that an answer tells, apart from whose it is."""
    headers = {
        name: value for name, value in answer.headers.items() if name not in ("x-request-id", "ratelimit")
    }
    body = answer.json() if answer.content else None
    return (
        answer.status_code,
        headers,
        json.dumps(body | {"request_id": ""} if isinstance(body, dict) else body),
    )


async def requests(service: Service) -> dict[str, int]:
    """What mbizmarket was asked so far."""
    return dict((await service.truth())["requests"])


async def test_statement_01_every_path_needs_a_token(shared_service: Service) -> None:
    """One and the same 401 on every path, documented or not, and by every method; four paths are open."""
    tokens = {
        "none": "x",
        "unsigned": "Bearer " + ".".join([encode(b'{"alg":"none"}'), seal(good_claims()).split(".")[1], ""]),
        "foreign": f"Bearer {seal(good_claims(), key=b'x' * 40)}",
        "expired": bearer(exp=1)["Authorization"],
    }
    paths = [(method, path) for method, path, _ in OPERATIONS] + [
        ("GET", "/v1/x"),
        ("PUT", "/"),
        ("GET", "/.env"),
    ]
    told_ = {
        same(await shared_service.http.request(method, path, headers={"Authorization": token}))[2]
        for method, path in paths
        for token in tokens.values()
    }
    assert 1 == len(told_)
    assert {200} == {(await shared_service.http.get(path, headers=NOBODY)).status_code for path in OPEN}


async def test_statement_02_a_pp_reaches_their_own_satkers_alone(sqlite_service: Service) -> None:
    """On every path another PP's satker answers exactly as one that is not there, and stays as it is."""
    service = sqlite_service
    await service.make_account("budi@lain.example", "PT Budi")
    owner = await person(service)
    await owner.log_in("budi@lain.example")
    before = (await owner.mapping(), await told(service.database), await requests(service))
    other = bearer(sub="pp-2", email="pp2@satker.example", scope="mappings:admin")
    for method, path, operation in SATKERS:
        body: Any = {"json": BODIES[name]} if (name := body_name(operation)) else {}
        unknown, theirs = [
            await service.http.request(method, path.replace("tidak-ada", satker), headers=other, **body)
            for satker in ("tidak-ada", owner.satker)
        ]
        assert (404, "satker_not_found") == said(unknown)
        assert same(unknown) == same(theirs), (method, path)
    for satker in ("tidak-ada", owner.satker):
        history = await service.http.get("/v1/history", params={"satker_id": satker}, headers=other)
        assert [] == history.json()["items"]
    assert before == (await owner.mapping(), await told(service.database), await requests(service))


@pytest.mark.parametrize("verified", [False, None, "true", 1])
async def test_statement_03_only_a_verified_address_of_ones_own_is_looked_up(
    sqlite_service: Service, verified: object
) -> None:
    """Without the portal's word mbizmarket is not asked, and no account, known or not, makes a difference."""
    service = sqlite_service
    await service.make_account("pp1@satker.example", "PT Satu")
    who = await person(service, email_verified=verified)
    before = await requests(service)
    for email in (None, "pp1@satker.example", "pp2@satker.example"):
        query = {} if email is None else {"email": email}
        assert (
            403 == (await service.http.get("/v1/mbiz-account", params=query, headers=who.headers)).status_code
        )
    assert (403, "email_unverified") == said(await who.confirm("x"))
    assert "unverified" == (await who.enter()).json()["email_status"]
    assert before == await requests(service)
    other = await service.http.get("/v1/mbiz-account", params={"email": "pp2@satker.example"})
    assert (403, "email_not_yours") == said(other)


async def test_statement_04_a_wrong_email_is_a_wrong_password(service: Service) -> None:
    """The same answer, the same number of statements, the same calls to mbizmarket."""
    await service.make_account("budi@lain.example", "PT Budi", "PT Dua")
    who = await person(service)
    statements = statements_of(service)
    await who.log_in("pemanasan@lain.example", "salah")
    await asyncio.sleep(0)  # the driver tells of the last one a moment later
    known, unknown = [
        await cost(service, statements, who, email) for email in ("budi@lain.example", "tidak@lain.example")
    ]
    assert (known, {"login": 1}) == (unknown, known[1])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 423, 429, 500, 503])
async def test_statement_04_what_mbizmarket_says_stays_here(sqlite_url: str, status: int) -> None:
    """Its texts reach nobody, whatever it answers."""
    codes = {401: "invalid_credentials", 404: "company_not_found", 409: "email_taken", 422: "invalid"}

    def refuse(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "t", "token_type": "Bearer", "expires_in": 60})
        faults = [{"field": "company.name", "code": "TEKS", "message": "TEKS"}]
        body = {"code": codes.get(status, "TEKS"), "message": "TEKS", "errors": faults}
        return httpx.Response(status, json=body, headers={"X-Teks": "TEKS", "Retry-After": "7"})

    async with serving(sqlite_url, httpx.MockTransport(refuse)) as service:
        who = await person(service)
        for answer in (
            await who.log_in("a@b.example"),
            await who.confirm("x"),
            await who.register(),
            await who.enter(),
        ):
            assert "TEKS" not in answer.text + str(answer.headers)
            assert answer.status_code != 500


async def test_statement_05_guessing_stops_before_mbizmarket_locks(sqlite_service: Service) -> None:
    """Five failures an e-mail, twenty a PP, two hundred an address; the sixth guess reaches nobody."""
    limits = (FAILED_PER_EMAIL, FAILED_PER_PP, FAILED_PER_ADDRESS, REGISTRATIONS_PER_PP)
    assert [(5, 900), (20, 3600), (200, 3600), (20, 86400)] == [
        (budget.most, budget.seconds) for budget in limits
    ]
    who = await person(sqlite_service)
    guesses = [said(await who.log_in("tidak@lain.example", f"salah {n}"))[0] for n in range(12)]
    assert ([422] * 5 + [429] * 7, 5) == (guesses, (await requests(sqlite_service))["login"])


ODD = [
    " spasi ",
    "é",
    "e\u0301",
    "\0\r\n\t",
    "\u202e\u200b",
    "💩" * 256,
    "x" * 256,
    "\ufeff",
    '"\\',
    "\uffff",
]


@pytest.mark.parametrize("path", ["/v1/login", "/v1/registrations"])
async def test_statement_06_a_password_is_passed_on_as_typed(
    sqlite_url: str, tmp_path: Path, path: str
) -> None:
    """Whatever is in it, to the letter, and once; a printed form, the answer and the database do not have it."""
    wire = held(tmp_path, path)
    wire.send.set()
    typed = [PASSWORD + odd if len(odd) < 100 else odd for odd in ODD]
    async with serving(sqlite_url, wire) as service:
        for n, password in enumerate(typed):
            who = await person(service, n, n)
            email = f"{n}@lain.example"
            answer = await (
                who.log_in(email, password) if "login" in path else who.register(email, password=password)
            )
            assert (422 if "login" in path else 201) == answer.status_code
            assert password not in repr(NewRegistration.model_validate(registration(password=password)))
    assert typed == [body["password"] for body in wire.bodies]


@pytest.mark.parametrize("call", ["login", "register"])
async def test_statement_06_a_password_is_in_no_answer(sqlite_service: Service, call: str) -> None:
    """Not when it is refused for itself, nor beside what is refused, nor as a field that is not known."""
    who = await person(sqlite_service)
    base = registration() if call == "register" else {"email": "a@b.example", "password": PASSWORD}
    for changes in (
        {"password": PASSWORD * 20},
        {"password": [PASSWORD]},
        {"password": {PASSWORD: 1}},
        {"password": PASSWORD + "\ud800"},
        {"email": PASSWORD},
        {"sandi": PASSWORD},
    ):
        content = json.dumps({**base, **changes})
        url = f"/v1/satkers/{who.satker}/mapping/{call}"
        answer = await sqlite_service.http.post(
            url, content=content, headers={"Content-Type": "application/json"}
        )
        assert (422, False) == (answer.status_code, PASSWORD in answer.text)


async def test_statement_07_everything_has_a_bound(shared_service: Service) -> None:
    """Bodies of 16 KiB, pages of 100, texts of their lengths, and no control characters."""
    http = shared_service.http
    body = {"content": b" " * 16_385, "headers": {"Content-Type": "application/json"}}
    assert 413 == (await http.post("/v1/satkers", **body)).status_code  # type: ignore[arg-type]
    for path, query in (
        ("/v1/satkers", {"size": "101"}),
        ("/v1/klpd", {"limit": "101"}),
        ("/v1/history", {"limit": "101"}),
        ("/v1/klpd", {"q": "x" * 101}),
        *(("/v1/klpd", {"q": f"a{control}b"}) for control in "\0\r\n\x1b\x7f\u2028\u202e"),
    ):
        assert (422, "validation_failed") == said(await http.get(path, params=query)), query


@pytest.mark.parametrize("name", ["company_id", "state", "status", "pp_id", "owner", "is_primary", "id"])
async def test_statement_08_no_client_sets_what_is_not_theirs(sqlite_service: Service, name: str) -> None:
    """An unknown field is 422, and nothing was made."""
    body = {"catalog_id": sqlite_service.catalog[0], name: "C-1"}
    assert 422 == (await sqlite_service.http.post("/v1/satkers", json=body)).status_code
    assert 0 == (await sqlite_service.http.get("/v1/satkers")).json()["total"]


async def test_statement_09_a_mapped_satker_tells_nothing_before_proof(service: Service) -> None:
    """Neither company nor owner, on any path; a wrong account names nobody; removing and adding restores nothing."""
    await service.make_account("budi@lain.example", "PT Rahasia")
    await service.make_account("sari@lain.example", "PT Sari")
    owner, joining = await person(service, 1), await person(service, 2)
    await owner.log_in("budi@lain.example")
    company_id = (await owner.mapping())["company"]["company_id"]
    hidden = ("PT Rahasia", "pp-1", "Pejabat Satu", "budi@lain.example", company_id)
    refused = [await joining.log_in("sari@lain.example"), await joining.register("x@lain.example")]
    at = f"/v1/satkers/{joining.satker}"
    paths = ("/v1/satkers", at, f"{at}/mapping", "/v1/history")
    seen = [await service.http.get(path, headers=joining.headers) for path in paths]
    seen += [*refused, await joining.enter()]
    assert [] == [word for word in hidden for answer in seen if word in answer.text]
    assert [(409, "satker_already_mapped")] * 2 == [said(answer) for answer in refused]
    await owner.remove(unlink=True)
    again = await person(service, 1)
    assert ("unmapped", True) == (await again.status(), again.satker != owner.satker)


@pytest.mark.parametrize("command", [["sandbox"], ["demo"], ["token", "--sub", "pp-1"], ["serve"]])
def test_statement_10_what_is_for_development_stops_in_production(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str]
) -> None:
    """Sandbox, demo and token command, and serving with a crash point: one line, status 2, nothing made."""
    monkeypatch.chdir(tmp_path)
    crash = {"CRASH_AT": "after_commit"} if command == ["serve"] else {}
    ended = CliRunner().invoke(cli, command, env={**GOOD, **crash, "APP_ENV": "production"})
    assert (2, 1, []) == (ended.exit_code, ended.stderr.count("\n"), list(tmp_path.iterdir()))


async def test_statement_10_admin_paths_are_not_there_for_others(shared_service: Service) -> None:
    """404, as for a path that is nowhere, with or without a right role."""
    nowhere = same(await shared_service.http.get("/v1/admin/tidak-ada", headers=operator()))[2]
    for method, path, _ in OPERATIONS:
        if path.startswith("/v1/admin"):
            for claims in ({}, {"role": "ADMIN"}, {"scope": "mappings:administrator admin"}):
                answer = await shared_service.http.request(method, path, headers=bearer(**claims))
                assert (404, nowhere) == (answer.status_code, same(answer)[2])


@pytest.mark.parametrize("impostor", [True, False])
async def test_statement_11_mbizmarket_is_reached_without_a_detour(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, impostor: bool
) -> None:
    """An impostor gets nothing; neither a redirect nor a proxy of the environment leads a password elsewhere."""
    async with listening(answers({})) as elsewhere:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, elsewhere.base_url)
        redirect = raw(f"HTTP/1.1 308 X\nLocation: {elsewhere.base_url}/v1/login\nContent-Type: text/html")
        tls = self_signed(tmp_path) if impostor else None
        async with (
            listening(redirect, tls=tls) as market,
            serving(sqlite_url, None, market.base_url) as service,
        ):
            answer = await (await person(service)).log_in("a@b.example")
        assert ((503, "mbiz_unavailable") if impostor else (502, "mbiz_bad_response")) == said(answer)
        assert ([] if impostor else ["/oauth/token", "/v1/login"]) == market.paths
        assert [] == elsewhere.paths


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "", "203.0.113.9"),
        ("203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "1.1.1.1,198.51.100.7,10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "bukan-alamat", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, bukan-alamat, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.7:4711", "10.0.0.1"),
        ("10.0.0.1", " , ,", "10.0.0.1"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("::ffff:203.0.113.9", "198.51.100.7", "203.0.113.9"),
        ("2001:db8::1", "2001:0DB9:0::1", "2001:db9::/64"),
        ("unknown", "198.51.100.7", "unknown"),
    ],
)
def test_statement_15_whose_address_counts(peer: str, forwarded: str, address: str) -> None:
    """The peer's, or as far as trusted proxies wrote it the header's; what a client wrote before that is nothing."""
    trusted = networks(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"])
    assert address == client_address(peer, forwarded, trusted)
    assert client_address(peer, "", ()) == client_address(peer, forwarded, ())


@pytest.mark.parametrize(("proxies", "address"), [("", "127.0.0.1"), ("127.0.0.1", "198.51.100.7")])
async def test_statement_15_a_forwarded_address(
    sqlite_url: str, tmp_path: Path, proxies: str, address: str
) -> None:
    """It reaches the budgets from a trusted proxy alone; two headers are read as one."""

    def show(request: Request) -> str:
        return str(request.state.address)

    async with running(sqlite_url, tmp_path, trusted_proxies=proxies) as service:
        service.app.add_api_route("/v1/alamat/entry", show)
        wire = httpx.ASGITransport(service.app, client=("127.0.0.1", 1))
        headers = [*bearer().items(), ("X-Forwarded-For", "1.1.1.1"), ("X-Forwarded-For", "198.51.100.7")]
        async with httpx.AsyncClient(transport=wire, base_url="http://api", headers=headers) as http:
            assert address == (await http.get("/v1/alamat/entry")).json()


def test_statement_16_printed_settings_have_no_secret() -> None:
    """Nor the password in an address of a database or of Redis."""
    settings = settings_for(
        "postgresql+asyncpg://u:kanari@h/x",
        rate_limit_storage="redis://:kanari@h:6379/0",
        app_secret="kanari" * 8,
        mbiz_client_secret="kanari",
        bela_jwt_key="kanari" * 8,
    )
    for text in (str(settings), repr(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert "kanari" not in text


async def test_statement_19_nobody_is_offered_what_another_registered_for_them(service: Service) -> None:
    """An account with the victim's address that mbizmarket calls unverified: not offered, not to be confirmed."""
    planted = await service.make_account("pp1@satker.example", "PT Penyerang", email_verified=False)
    victim = await person(service)
    step = (await victim.enter()).json()
    assert ("ask_registered", "already_used", None) == (
        step["next_step"],
        step["email_status"],
        step["suggested_email"],
    )
    lookup = await service.http.get("/v1/mbiz-account")
    assert [] == lookup.json()["companies"]
    assert (404, "company_not_found") == said(await victim.confirm(planted["companies"][0]["company_id"]))
    assert "PT Penyerang" not in lookup.text + json.dumps(step)


def test_the_page_that_lists_the_statements() -> None:
    """It has all nineteen, and whatever it names is there: its tests, files and numbers."""
    page = (ROOT / "docs" / "security.md").read_text()
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", page, re.MULTILINE)
    assert [str(n) for n in range(1, 20)] == [number for number, _ in rows]
    own = {name[:17] for name in globals() if name.startswith("test_statement_")}
    for number, shown in rows:
        named = re.findall(r"`(test_statement_\d\d)…`", shown)
        assert {f"test_statement_{int(number):02}"} & own == set(named)
        assert named or re.findall(r"`tests/", shown)
    paths = re.findall(r"`((?:app|tests)/[\w/.]+)`", page)
    assert [] == [path for path in paths if not (ROOT / path).exists()]
