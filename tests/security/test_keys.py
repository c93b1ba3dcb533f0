"""The portal's published keys: fetched rarely, kept while it is away, exchanged and taken back without a restart."""

import asyncio
import gzip
import hashlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from app import auth, keys
from app.auth import Pejabat, TokenReader, Verified
from app.main import create_app
from app.problems import Unauthenticated
from cryptography.hazmat.primitives.serialization import Encoding
from httpx import ASGITransport, AsyncClient
from structlog.testing import capture_logs

from tests.described import Described
from tests.mbiz.servers import Reply, answers, drips, hangs, hangs_up, is_cut, speaks_no_http, until
from tests.security.portal import Portal, SigningKey, publishing, raw, whole_claims
from tests.service import Service
from tests.test_auth import seal

pytestmark = pytest.mark.anyio

OLD, NEW, FOREIGN = (SigningKey(kid) for kid in ("k-old", "k-new", "k-foreign"))
RSA = SigningKey("k-rsa", "RS256")


@pytest.fixture
async def portal() -> AsyncIterator[Portal]:
    """Publishes one EC key and one RSA key."""
    async with publishing(OLD, RSA) as portal:
        yield portal


async def opens(reader: TokenReader, token: str) -> bool:
    try:
        return "pp-1" == (await reader.read(token)).pp_id
    except Unauthenticated:
        return False


async def all_open(reader: TokenReader, tokens: Sequence[str]) -> set[bool]:
    return set(await asyncio.gather(*(opens(reader, token) for token in tokens)))


def distinct(key: SigningKey, count: int = 50, **changes: Any) -> list[str]:
    return [key.token(jti=str(n), **changes) for n in range(count)]


# How often the portal is asked


def test_the_times_that_are_stated() -> None:
    """A key that was taken back works for six minutes at most: five of the set, one of the token."""
    assert (300, 30, 60) == (keys.FRESH, keys.PAUSE, auth.VERIFIED_FOR)


async def test_fifty_callers_at_once_after_a_start(portal: Portal) -> None:
    """The keys are fetched once for all of them, and for whoever comes while they are fresh."""
    async with portal.reader() as reader:
        assert {True} == await all_open(reader, [*distinct(OLD), *distinct(RSA)])
        assert {True} == await all_open(reader, distinct(OLD, iat=1))
    assert 1 == portal.fetches


async def test_coming_when_the_keys_are_no_longer_fresh(portal: Portal) -> None:
    """They are fetched again, once for fifty callers."""
    async with portal.reader(fresh=0.2, pause=0) as reader:
        assert await opens(reader, OLD.token())
        await asyncio.sleep(0.25)
        assert {True} == await all_open(reader, distinct(OLD))
    assert 2 == portal.fetches


async def test_fifty_callers_with_unknown_keys(portal: Portal) -> None:
    """They are refused, and make us ask the portal once more at most; nobody else waits for that."""
    async with portal.reader(pause=0) as reader:
        assert await opens(reader, OLD.token())
    async with portal.reader() as reader:
        strangers = [FOREIGN.token(kid=f"k-{n}") for n in range(50)]
        assert {False} == await all_open(reader, strangers)
        for stranger in strangers[:5]:
            assert not await opens(reader, stranger)
        assert await opens(reader, OLD.token())
    assert 2 == portal.fetches


async def test_an_unknown_key_after_the_pause(portal: Portal) -> None:
    """The portal is asked once more, and once only, however many ask."""
    async with portal.reader(pause=0.2) as reader:
        assert not await opens(reader, FOREIGN.token())
        assert not await opens(reader, FOREIGN.token())
        assert 1 == portal.fetches
        await asyncio.sleep(0.25)
        assert {False} == await all_open(reader, distinct(FOREIGN))
    assert 2 == portal.fetches


# Keys come and go


async def test_a_key_that_is_new(portal: Portal) -> None:
    """Its tokens are good from the next fetch on, without a restart; those of the old key stay good."""
    async with portal.reader(pause=0.1) as reader:
        assert [True, False] == [await opens(reader, key.token()) for key in (OLD, NEW)]
        portal.keys.append(NEW.published)
        await asyncio.sleep(0.15)
        assert [True, True] == [await opens(reader, key.token()) for key in (NEW, OLD)]


async def test_a_key_that_is_taken_back(portal: Portal) -> None:
    """It stops working once the set is no longer fresh and the token no longer remembered; not before, not after."""
    async with portal.reader(Verified(seconds=0.4), fresh=0.2, pause=0.1) as reader:
        token = OLD.token()
        assert await opens(reader, token)
        portal.keys = [NEW.published]
        assert await opens(reader, token)
        await asyncio.sleep(0.45)
        assert [False, True] == [await opens(reader, each) for each in (token, NEW.token())]


async def test_all_keys_taken_back(portal: Portal) -> None:
    """An empty set is the portal's word, not an outage: nobody gets in until there is a key again."""
    async with portal.reader(fresh=0, pause=0) as reader:
        assert await opens(reader, OLD.token())
        portal.keys = []
        assert not await opens(reader, OLD.token(jti="1"))
        portal.keys = [NEW.published]
        assert await opens(reader, NEW.token())


async def test_a_key_exchanged_under_its_id(portal: Portal) -> None:
    """The id names the new key from then on."""
    async with portal.reader(fresh=0, pause=0) as reader:
        assert await opens(reader, OLD.token())
        portal.keys = [{**NEW.published, "kid": OLD.kid}]
        assert await opens(reader, NEW.token(kid=OLD.kid))
        assert not await opens(reader, OLD.token(jti="1"))


# The portal in trouble

GOOD_SET = json.dumps({"keys": [FOREIGN.published]}).encode()


async def floods(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
    while True:
        writer.write(b"1," * 32_000)
        await writer.drain()


# Each would exchange the keys for a foreign one, were it believed.
TROUBLE: dict[str, Reply] = {
    "hangs": hangs,
    "drips": drips,
    "is cut": is_cut,
    "hangs up": hangs_up,
    "speaks no HTTP": speaks_no_http,
    "floods": floods,
    "500": raw("HTTP/1.1 500 X", GOOD_SET),
    "404": raw("HTTP/1.1 404 X", GOOD_SET),
    "201": raw("HTTP/1.1 201 X", GOOD_SET),
    "redirect": raw("HTTP/1.1 302 X\nLocation: /elsewhere", GOOD_SET),
    "HTML": raw("HTTP/1.1 200 OK\nContent-Type: text/html", b"<!doctype html><title>Login</title>"),
    "oversized": raw("HTTP/1.1 200 OK", GOOD_SET + b" " * 300_000),
    "compressed": raw("HTTP/1.1 200 OK\nContent-Encoding: gzip", gzip.compress(GOOD_SET)),
    "not UTF-8": raw("HTTP/1.1 200 OK", b'{"keys": "\xff"}'),
    "nested beyond reading": raw("HTTP/1.1 200 OK", b"[" * 200_000),
    "a list": answers([FOREIGN.published]),
    "null": answers(None),
    "a key alone": answers(FOREIGN.published),
    "keys by name": answers({"keys": {"k-foreign": FOREIGN.published}}),
}


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE.keys())
async def test_the_portal_in_trouble(portal: Portal, trouble: Reply) -> None:
    """The old keys go on working, no answer of that kind brings another, the log says so, and it passes."""
    async with portal.reader(fresh=0, pause=0, timeout=0.3) as reader:
        assert await opens(reader, OLD.token())
        portal.reply = trouble
        with capture_logs() as logged:
            assert [True, True] == [await opens(reader, key.token(jti="1")) for key in (OLD, RSA)]
            assert not await opens(reader, FOREIGN.token())
        assert {("portal_keys_unavailable", 2)} == {(line["event"], line.get("kept")) for line in logged}
        portal.reply, portal.keys = None, [NEW.published]
        assert await opens(reader, NEW.token())
    assert {"/jwks.json"} == set(portal.server.paths)


async def test_the_portal_gone() -> None:
    """Nothing listens any more: the old keys go on working."""
    async with publishing(OLD) as portal:
        jwks = keys.Jwks(portal.url, fresh=0, pause=0)
        reader = TokenReader(portal.settings(), jwks)
        assert await opens(reader, OLD.token())
    assert {True} == await all_open(reader, distinct(OLD, 5))
    await jwks.aclose()


async def test_callers_while_the_portal_hangs(portal: Portal) -> None:
    """One of them waits for it; the others go on with the old keys at once."""
    async with portal.reader(fresh=0.2, timeout=5, pause=0.1) as reader:
        assert await opens(reader, OLD.token())
        await asyncio.sleep(0.25)
        portal.reply = hangs
        first = asyncio.create_task(opens(reader, OLD.token(jti="first")))
        await until(lambda: portal.fetches == 2)
        began = time.monotonic()
        assert {True} == await all_open(reader, distinct(OLD))
        assert time.monotonic() - began < 2
        assert not first.done()
        first.cancel()
        await asyncio.wait([first])


async def test_starting_before_the_portal(portal: Portal) -> None:
    """Everybody is refused, and as soon as it answers everybody gets in: the pause is a short one until then."""
    portal.reply = raw("HTTP/1.1 503 X")
    async with portal.reader(again=0.1, pause=30) as reader:
        assert {False} == await all_open(reader, distinct(OLD))
        assert 1 == portal.fetches
        portal.reply = None
        await asyncio.sleep(0.15)
        assert {True} == await all_open(reader, distinct(OLD))


# Which keys count, and for what


async def test_a_token_without_a_key_id(portal: Portal) -> None:
    """It is refused even where there is only one key."""
    portal.keys = [OLD.published]
    async with portal.reader() as reader:
        assert [False, True] == [await opens(reader, OLD.token(kid=kid)) for kid in (None, OLD.kid)]


@pytest.mark.parametrize("kid", ["", " k-old", "K-OLD", "k-old\0", 1, True, None, ["k-old"], {"k": "k-old"}])
async def test_a_key_id_that_is_another(portal: Portal, kid: object) -> None:
    """Ids are compared whole, and only a text is one."""
    async with portal.reader() as reader:
        assert not await opens(reader, OLD.token(kid=kid))


async def test_signing_with_another_key_of_the_set(portal: Portal) -> None:
    """The id decides which key must have signed: no other of the set is tried."""
    portal.keys.append(NEW.published)
    async with portal.reader() as reader:
        assert [False, False] == [await opens(reader, key.token(kid=OLD.kid)) for key in (NEW, RSA)]


@pytest.mark.parametrize("key", [OLD, RSA], ids=["EC", "RSA"])
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "none", "RS256", "ES256", "PS256", "RS512"])
async def test_signing_with_what_is_published(portal: Portal, key: SigningKey, alg: str) -> None:
    """A key has one algorithm: an HMAC made with the public key is refused, whatever its header says."""
    async with portal.reader() as reader:
        assert await opens(reader, key.token())
        for secret in (
            key.public(Encoding.PEM),
            key.public(Encoding.DER),
            json.dumps(key.published).encode(),
            str(key.published.get("n") or key.published["x"]).encode(),
            b"",
        ):
            hmac_by = alg if alg.startswith("HS") else "HS256"
            forged = seal(whole_claims(), {"alg": alg, "kid": key.kid}, key=secret, alg=hmac_by)
            assert not await opens(reader, forged)


async def test_a_key_that_a_token_brings_along(portal: Portal) -> None:
    """`jwk`, `jku` and `x5u` of a header are not looked at."""
    brought = {"jwk": FOREIGN.published, "jku": f"{portal.server.base_url}/evil", "x5u": portal.url}
    async with portal.reader() as reader:
        for kid in (OLD.kid, FOREIGN.kid):
            forged = seal(whole_claims(), {"alg": "ES256", "kid": kid, **brought})
            assert not await opens(reader, forged)
    assert {"/jwks.json"} == set(portal.server.paths)


WEAK = SigningKey("k-bad", "RS256", bits=1024)
BAD = SigningKey("k-bad", "ES256")
BAD_RSA = SigningKey("k-bad", "RS256")
UNUSABLE: dict[str, object] = {
    "null": None,
    "text": "k-bad",
    "a list": [BAD.published],
    "no kid": {name: value for name, value in BAD.published.items() if name != "kid"},
    "kid a number": {**BAD.published, "kid": 1},
    "for encryption": {**BAD.published, "use": "enc"},
    "use a list": {**BAD.published, "use": ["sig"]},
    "for signing only": {**BAD.published, "key_ops": ["sign"]},
    "key_ops no list": {**BAD.published, "key_ops": 1},
    "alg of another kind": {**BAD.published, "alg": "RS256"},
    "alg HS256": {**BAD.published, "alg": "HS256"},
    "alg a list": {**BAD.published, "alg": ["ES256"]},
    "a secret": {"kty": "oct", "kid": "k-bad", "k": "c2VjcmV0", "alg": "HS256"},
    "another curve": {**BAD.published, "crv": "P-384"},
    "curve a list": {**BAD.published, "crv": ["P-256"]},
    "kty a list": {**BAD.published, "kty": ["EC"]},
    "Ed25519": {"kty": "OKP", "crv": "Ed25519", "x": BAD.published["x"], "kid": "k-bad"},
    "not on its curve": {**BAD.published, "x": BAD.published["y"]},
    "no y": {name: value for name, value in BAD.published.items() if name != "y"},
    "x a number": {**BAD.published, "x": 5},
    "x not base64": {**BAD.published, "x": "é!"},
    "n not base64": {**BAD_RSA.published, "n": "é" * 400},
    "n a list": {**BAD_RSA.published, "n": [BAD_RSA.published["n"]]},
    "no e": {name: value for name, value in BAD_RSA.published.items() if name != "e"},
    "e of one": {**BAD_RSA.published, "e": "AQ"},
    "RSA of 1024 bits": WEAK.published,
    "RSA of 1024 bits, padded": {**WEAK.published, "n": "A" * 400 + WEAK.published["n"]},
}


@pytest.mark.parametrize("key", UNUSABLE.values(), ids=UNUSABLE.keys())
async def test_a_key_that_cannot_be_used(portal: Portal, key: object) -> None:
    """It opens nothing, and hurts none of the keys beside it, wherever it stands."""
    for keys_ in ([key, OLD.published, RSA.published], [OLD.published, RSA.published, key]):
        portal.keys = keys_
        async with portal.reader() as reader:
            assert [False] * 3 == [await opens(reader, bad.token()) for bad in (BAD, BAD_RSA, WEAK)]
            assert [True, True] == [await opens(reader, good.token()) for good in (OLD, RSA)]


async def test_keys_as_portals_publish_them(portal: Portal) -> None:
    """With or without `use`, `alg`, `key_ops`, certificates and what else there may be."""
    for key in (OLD, RSA):
        bare = {name: value for name, value in key.published.items() if name != "use"}
        for more in (
            {},
            {"alg": key.algorithm},
            {"key_ops": ["verify"]},
            {"x5c": ["MII"], "x5t": "x", "n2": 1},
        ):
            portal.keys = [{**bare, **more}]
            async with portal.reader() as reader:
                assert await opens(reader, key.token())


# Tokens that are remembered

SOMEBODY = Pejabat("pp-1")


def test_remembering_a_token() -> None:
    """For so many seconds, and never past its own end."""
    verified = Verified(seconds=0.1)
    verified.put(b"short", SOMEBODY, time.time() + 600)
    verified.put(b"ended", SOMEBODY, time.time() - 1)
    assert [SOMEBODY, None] == [verified.get(digest, 0) for digest in (b"short", b"ended")]
    time.sleep(0.15)
    assert verified.get(b"short", 0) is None


async def test_a_token_that_ends_while_it_is_remembered(portal: Portal) -> None:
    """It is refused from the moment it would be without any memory: its end, and 30 seconds of leeway."""
    async with portal.reader() as reader:
        token = OLD.token(exp=time.time() - 29.5)
        assert await opens(reader, token)
        await asyncio.sleep(0.6)
        assert not await opens(reader, token)


def test_remembering_many_tokens() -> None:
    """There is room for so many, 10,000 unless told; the oldest goes."""
    verified = Verified(most=2)
    for digest in (b"1", b"2", b"2", b"3"):
        verified.put(digest, SOMEBODY, time.time() + 600)
    assert [None, SOMEBODY, SOMEBODY] == [verified.get(digest, 0) for digest in (b"1", b"2", b"3")]
    assert 10_000 == auth.MAX_VERIFIED


async def test_remembering_when_keys_change(portal: Portal) -> None:
    """Every token is checked anew, also those of keys that stayed; when nothing changed, none is."""
    verified = Verified()
    async with portal.reader(verified, fresh=0, pause=0) as reader:
        tokens = distinct(OLD, 3)
        assert {True} == await all_open(reader, tokens)
        assert 3 == len(verified.tokens)
        portal.keys = [RSA.published]
        assert await opens(reader, RSA.token())  # a call that brings the new set in
        assert {False} == await all_open(reader, tokens)
        assert {True} == await all_open(reader, [RSA.token(), RSA.token(jti="1")])
        assert 2 == len(verified.tokens)


async def test_what_of_a_token_is_remembered(portal: Portal) -> None:
    """A digest of it, not the token: who reads our memory cannot call with it."""
    verified = Verified()
    async with portal.reader(verified) as reader:
        token = OLD.token()
        assert await opens(reader, token)
    assert [hashlib.sha256(token.encode()).digest()] == list(verified.tokens)
    assert token.rpartition(".")[2] not in repr(verified.tokens)


async def test_a_refused_token_is_not_remembered(portal: Portal) -> None:
    """Only good ones take up room."""
    verified = Verified()
    async with portal.reader(verified) as reader:
        assert {False} == await all_open(reader, distinct(FOREIGN))
    assert {} == verified.tokens


# The whole service


async def test_calling_a_service_that_fetches_its_keys(portal: Portal, shared_service: Service) -> None:
    """A published key opens it, anything else is the same 401 as ever; the portal is asked for keys alone."""
    changes = {"bela_jwks_url": portal.url, "bela_jwt_key": None, "bela_jwt_algorithm": None}
    app = create_app(shared_service.context.settings.model_copy(update=changes))
    async with (
        AsyncClient(transport=Described(ASGITransport(app)), base_url="http://api") as http,
        app.router.lifespan_context(app),
    ):
        answers_ = {
            token: (await http.get("/v1/satkers", headers={"Authorization": f"Bearer {token}"})).status_code
            for token in (
                RSA.token(),
                OLD.token(),
                FOREIGN.token(),
                OLD.token(kid=None),
                seal(whole_claims()),
            )
        }
    assert [200, 200, 401, 401, 401] == list(answers_.values())
    assert ["/jwks.json"] == portal.server.paths
