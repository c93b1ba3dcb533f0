"""Whose token opens the service: every forgery gets one and the same answer."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from app.auth import Pejabat, TokenReader
from app.problems import Unauthenticated
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jose import jws

from tests.service import KEY, PP, Service, bearer, settings_for, token

SQLITE = "sqlite+aiosqlite:///unused.db"
HS256 = {"alg": "HS256", "typ": "JWT"}
HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iss": "bela", "aud": "satu-pp", "iat": now, "exp": now + 600, **PP, **changes}


def without(name: str) -> dict[str, Any]:
    return {claim: value for claim, value in claims().items() if claim != name}


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def seal(payload: object, header: object = HS256, key: bytes = KEY.encode(), alg: str = "HS256") -> str:
    """A token whose signature is right for this key, whatever is in it."""
    head, body = (
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)
    )
    signed = f"{encode(head)}.{encode(body)}"
    return f"{signed}.{encode(hmac.new(key, signed.encode(), HASHES[alg]).digest())}"


def parts() -> list[str]:
    return seal(claims()).split(".")


def other_last_letter() -> str:
    """The same bytes by a spelling that only a lenient decoder takes: the last letter's spare bits differ."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = seal(claims())
    return good[:-1] + alphabet[alphabet.index(good[-1]) ^ 1]


def tampered(position: int, part: object) -> str:
    pieces = parts()
    pieces[position] = encode(json.dumps(part).encode())
    return ".".join(pieces)


FORGED: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "no token at all": lambda: "kanari-token",
    "one dot": lambda: ".".join(parts()[:2]),
    "three dots": lambda: seal(claims()) + ".e30",
    "empty parts": lambda: "..",
    "no signature": lambda: ".".join([*parts()[:2], ""]),
    "half a signature": lambda: seal(claims())[:-20],
    "signature with junk in it": lambda: seal(claims())[:-9] + "!" + seal(claims())[-9:],
    "signature with padding": lambda: seal(claims()) + "=",
    "signature spelled otherwise": other_last_letter,
    "blank in the middle": lambda: seal(claims()).replace(".", ". ", 1),
    "payload exchanged": lambda: tampered(1, claims(sub="pp-2")),
    "header exchanged": lambda: tampered(0, {"alg": "HS256", "typ": "JWT", "x": 1}),
    "another key": lambda: seal(claims(), key=b"x" * 40),
    "empty key": lambda: seal(claims(), key=b""),
    "alg none, unsigned": lambda: ".".join([encode(b'{"alg":"none"}'), parts()[1], ""]),
    "alg None, unsigned": lambda: ".".join([encode(b'{"alg":"None"}'), parts()[1], ""]),
    "alg none, signed": lambda: seal(claims(), {"alg": "none"}),
    "alg missing": lambda: seal(claims(), {"typ": "JWT"}),
    "alg null": lambda: seal(claims(), {"alg": None}),
    "alg a list": lambda: seal(claims(), {"alg": ["HS256"]}),
    "alg HS384, rightly signed": lambda: seal(claims(), {"alg": "HS384"}, alg="HS384"),
    "alg HS512, rightly signed": lambda: seal(claims(), {"alg": "HS512"}, alg="HS512"),
    "alg RS256, signed by HMAC": lambda: seal(claims(), {"alg": "RS256"}),
    "crit": lambda: seal(claims(), {**HS256, "crit": ["exp"], "exp": 1}),
    "crit empty": lambda: seal(claims(), {**HS256, "crit": []}),
    "header not an object": lambda: seal(claims(), ["HS256"]),
    "header not JSON": lambda: seal(claims(), b"{alg:HS256}"),
    "payload a list": lambda: seal([claims()]),
    "payload a string": lambda: seal("bela"),
    "payload null": lambda: seal(None),
    "payload not JSON": lambda: seal(b"{"),
    "payload not UTF-8": lambda: seal(b'{"sub": "\xff"}'),
    "payload nested beyond reading": lambda: seal(b"[" * 6000),
    "longer than 8 KiB": lambda: seal(claims(note="n" * 8192)),
    **{f"no {name}": lambda name=name: seal(without(name)) for name in ("iss", "aud", "exp", "iat", "sub")},  # type: ignore[misc]
    **{
        f"{name} null": lambda name=name: seal(claims(**{name: None}))  # type: ignore[misc]
        for name in ("iss", "aud", "exp", "iat", "sub", "nbf")
    },
    "iss of another": lambda: seal(claims(iss="beli")),
    "iss in capitals": lambda: seal(claims(iss="BELA")),
    "iss a list": lambda: seal(claims(iss=["bela"])),
    "aud of another": lambda: seal(claims(aud="satu-pp-2")),
    "aud longer": lambda: seal(claims(aud="satu-pp,other")),
    "aud empty list": lambda: seal(claims(aud=[])),
    "aud list of others": lambda: seal(claims(aud=["x", "y"])),
    "aud list with a number": lambda: seal(claims(aud=["satu-pp", 1])),
    "aud list in a list": lambda: seal(claims(aud=[["satu-pp"]])),
    "aud an object": lambda: seal(claims(aud={"satu-pp": True})),
    "expired": lambda: seal(claims(exp=int(time.time()) - 31)),
    "exp zero": lambda: seal(claims(exp=0)),
    "exp text": lambda: seal(claims(exp=str(int(time.time()) + 600))),
    "exp true": lambda: seal(claims(exp=True)),
    "exp a list": lambda: seal(claims(exp=[int(time.time()) + 600])),
    "exp not a number": lambda: seal(claims(exp=float("nan"))),
    "exp infinite": lambda: seal(claims(exp=float("inf"))),
    "exp beyond every float": lambda: seal(claims(exp=10**400)),
    "exp beyond every int": lambda: seal(json.dumps(claims(exp=-1)).encode().replace(b"-1", b"9" * 5000)),
    "iat in the future": lambda: seal(claims(iat=int(time.time()) + 40)),
    "iat text": lambda: seal(claims(iat="0")),
    "iat false": lambda: seal(claims(iat=False)),
    "iat below every float": lambda: seal(claims(iat=-(10**400))),
    "nbf in the future": lambda: seal(claims(nbf=int(time.time()) + 40)),
    "nbf text": lambda: seal(claims(nbf="0")),
    "sub empty": lambda: seal(claims(sub="")),
    "sub a number": lambda: seal(claims(sub=1)),
    "sub a list": lambda: seal(claims(sub=["pp-1"])),
    "sub with NUL": lambda: seal(claims(sub="pp-1\0")),
    "sub with a line break": lambda: seal(claims(sub="pp-1\r\nX: 1")),
    "sub no UTF-8 can spell": lambda: seal(claims(sub="\ud800")),
    "sub of 201 characters": lambda: seal(claims(sub="p" * 201)),
}


@pytest.mark.anyio
@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
async def test_calling_with_a_forged_token(shared_service: Service, forge: Callable[[], str]) -> None:
    """It is a 401 that tells nothing, the same for every fault."""
    headers = {"Authorization": b"Bearer " + forge().encode("utf-8", "surrogatepass")}
    answer = await shared_service.http.get("/v1/satkers", headers=headers)
    assert refusal(answer.headers["X-Request-Id"]) == answer.json()
    assert (401, "Bearer") == (answer.status_code, answer.headers["WWW-Authenticate"])


def refusal(request_id: str) -> dict[str, Any]:
    return {
        "type": "urn:satu-pp:problem:unauthenticated",
        "title": "Sesi Anda tidak berlaku. Silakan masuk kembali.",
        "status": 401,
        "code": "unauthenticated",
        "request_id": request_id,
    }


@pytest.mark.anyio
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic cHA6cHA=",
        "Token {}",
        "{}",
        "Bearer: {}",
        "Bearer {} {}",
        "Bearer,{}",
        'Bearer "{}"',
        "Bearer\t{}",
    ],
)
async def test_calling_with_another_authorization(shared_service: Service, value: str | None) -> None:
    """Only `Bearer TOKEN` counts, and what else is there is refused as a forged token is."""
    request = shared_service.http.build_request("GET", "/v1/satkers")
    del request.headers["Authorization"]
    if value is not None:
        request.headers["Authorization"] = value.replace("{}", token())
    answer = await shared_service.http.send(request)
    assert refusal(answer.headers["X-Request-Id"]) == answer.json()


@pytest.mark.anyio
async def test_a_good_token_in_the_query_or_a_cookie(shared_service: Service) -> None:
    """A token is taken from the Authorization header alone."""
    request = shared_service.http.build_request(
        "GET", "/v1/satkers", params={"access_token": token()}, headers={"Cookie": f"token={token()}"}
    )
    del request.headers["Authorization"]
    assert 401 == (await shared_service.http.send(request)).status_code


GOOD: dict[str, Callable[[], str]] = {
    "plain": lambda: seal(claims()),
    "aud in a list": lambda: seal(claims(aud=["other", "satu-pp"])),
    "expired within the leeway": lambda: seal(claims(exp=int(time.time()) - 25)),
    "iat ahead within the leeway": lambda: seal(claims(iat=int(time.time()) + 25)),
    "nbf ahead within the leeway": lambda: seal(claims(nbf=int(time.time()) + 25)),
    "nbf past": lambda: seal(claims(nbf=0)),
    "exp with a fraction": lambda: seal(claims(exp=time.time() + 60.5)),
    "issued long ago": lambda: seal(claims(iat=0)),
    "unknown claims and headers": lambda: seal(claims(jti="1", sub="pp-1"), {**HS256, "kid": "k1", "x": []}),
    "odd optional claims": lambda: seal(claims(name=["x"], email=7, phone={}, lpse_id=119, scope=1)),
}


@pytest.mark.anyio
@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD.keys())
async def test_calling_with_a_good_token(shared_service: Service, make: Callable[[], str]) -> None:
    """What is good, or wrong only where it does not matter, is let in; the scheme's case does not matter."""
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {make()}"}
        assert 200 == (await shared_service.http.get("/v1/satkers", headers=headers)).status_code


@pytest.mark.anyio
@pytest.mark.parametrize("role", [None, "", "PENYEDIA", "pp", "PP,PPK", ["PP"], {"PP": 1}, 1, True])
async def test_calling_with_another_role(shared_service: Service, role: object) -> None:
    """A role outside BELA_ROLES is 403, and so is a missing or an odd one."""
    answer = await shared_service.http.get("/v1/satkers", headers=bearer(role=role))
    assert (403, "role_not_allowed") == (answer.status_code, answer.json()["code"])


@pytest.mark.anyio
@pytest.mark.parametrize("role", ["PP", "PPK"])
async def test_calling_with_an_allowed_role(shared_service: Service, role: str) -> None:
    """PP and PPK are let in unless the operator says otherwise."""
    assert 200 == (await shared_service.http.get("/v1/satkers", headers=bearer(role=role))).status_code


def read(*, vouched: bool = False, **changes: Any) -> Pejabat:
    reader = TokenReader(settings_for(SQLITE, bela_email_is_verified=vouched))
    return asyncio.run(reader.read(seal(claims(**changes))))


@pytest.mark.parametrize(
    ("value", "vouched", "verified"),
    [
        (True, False, True),
        (False, False, False),
        (None, False, False),
        ("true", False, False),
        ("True", False, False),
        (1, False, False),
        ([True], False, False),
        (False, True, True),
        (None, True, True),
    ],
)
def test_an_address_counts_as_verified(value: object, vouched: bool, verified: bool) -> None:
    """When `email_verified` is the JSON value true, or the operator vouches for the portal."""
    pejabat = read(email_verified=value, vouched=vouched)
    assert ("pp1@satker.example" if verified else None) == pejabat.verified_email
    assert "pp1@satker.example" == pejabat.email


@pytest.mark.parametrize(
    "email", [None, "", " ", "pp1", "@x.example", "a@b", "a b@x.example", 5, ["a@x.example"]]
)
def test_an_address_that_is_none(email: object) -> None:
    """It counts as absent, and nothing as verified, even where the operator vouches."""
    pejabat = read(email=email, vouched=True)
    assert (None, None) == (pejabat.email, pejabat.verified_email)


def test_an_address_with_blanks_around_it() -> None:
    """It is trimmed; its case stays as the portal has it."""
    assert "Budi@Satker.Example" == read(email="  Budi@Satker.Example \n").email


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("pp1@satker.example", None),
        (" PP1@Satker.EXAMPLE ", None),
        ("pp2@satker.example", "email_not_yours"),
        ("ppı@satker.example", "email_not_yours"),
        ("pp1@satker.example.id", "email_not_yours"),
    ],
)
async def test_asking_about_an_address(shared_service: Service, asked: str, code: str | None) -> None:
    """Addresses are the same trimmed and in ASCII lower case, and no further."""
    headers = bearer(email="Pp1@Satker.Example")
    answer = await shared_service.http.get("/v1/mbiz-account", params={"email": asked}, headers=headers)
    assert code == answer.json().get("code")


def test_optional_claims() -> None:
    """Texts are trimmed, numbers read as digits, and what is unusable is absent."""
    pejabat = read(
        name=" Budi ", lpse_id=119, phone=True, preferred_username="x\0y", scope="a mappings:admin"
    )
    assert (
        Pejabat(
            pp_id="pp-1",
            role="PP",
            email="pp1@satker.example",
            email_verified=True,
            name="Budi",
            preferred_username=None,
            phone=None,
            lpse_id="119",
            scopes=frozenset({"a", "mappings:admin"}),
        )
        == pejabat
    )


class KeyPair:
    """The portal's keys of one public-key algorithm."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        key = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.private = private.decode()
        self.public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.public_der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    @property
    def reader(self) -> TokenReader:
        key = self.public.decode()
        return TokenReader(settings_for(SQLITE, bela_jwt_key=key, bela_jwt_algorithm=self.algorithm))

    def sign(self) -> str:
        return str(jws.sign(claims(), self.private, algorithm=self.algorithm))


@pytest.fixture(scope="module", params=["RS256", "ES256"])
def pair(request: pytest.FixtureRequest) -> KeyPair:
    return KeyPair(request.param)


def test_signing_with_the_private_key(pair: KeyPair) -> None:
    """RS256 and ES256 tokens are read with the public key."""
    assert "pp-1" == asyncio.run(pair.reader.read(pair.sign())).pp_id


def test_signing_with_a_foreign_private_key(pair: KeyPair) -> None:
    """Another key of the same kind opens nothing."""
    with pytest.raises(Unauthenticated):
        asyncio.run(pair.reader.read(KeyPair(pair.algorithm).sign()))


@pytest.mark.parametrize("alg", ["HS256", "RS256", "ES256", "none"])
@pytest.mark.parametrize("spelling", ["pem", "pem without its last newline", "der"])
def test_signing_with_the_public_key(pair: KeyPair, alg: str, spelling: str) -> None:
    """The public key is no secret: an HMAC made with it is refused, whatever the header calls it."""
    key = {"pem": pair.public, "der": pair.public_der}.get(spelling, pair.public.rstrip())
    with pytest.raises(Unauthenticated):
        asyncio.run(pair.reader.read(seal(claims(), {"alg": alg, "typ": "JWT"}, key=key)))


def test_an_unsigned_token_where_keys_are_public(pair: KeyPair) -> None:
    """alg none is refused there too."""
    with pytest.raises(Unauthenticated):
        asyncio.run(pair.reader.read(".".join([encode(b'{"alg":"none"}'), parts()[1], ""])))
