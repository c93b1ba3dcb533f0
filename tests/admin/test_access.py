"""Who may see /v1/admin: whoever has the scope, whatever their role. To others there is nothing."""

import pytest

from tests.admin.desk import operator
from tests.service import Service, bearer

pytestmark = pytest.mark.anyio

CALLS = [
    ("GET", "mappings"),
    ("DELETE", "mappings/m?reason=x"),
    ("DELETE", "mappings/m/accesses/pp-1?reason=x"),
    ("POST", "mappings/m/move"),
    ("GET", "attempts"),
    ("POST", "attempts/a/resolve"),
]
OTHERS = [
    {},
    {"scope": None},
    {"scope": "mappings"},
    {"scope": "mappings:admins"},
    {"scope": ["mappings:admin"]},
    {"scope": "mappings:ADMIN"},
    {"role": "TAMU"},
    {"role": None},
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("claims", OTHERS, ids=str)
async def test_without_the_scope(
    shared_service: Service, method: str, path: str, claims: dict[str, object]
) -> None:
    """It answers as a path that does not exist."""
    answer = await shared_service.http.request(method, f"/v1/admin/{path}", headers=bearer(**claims))
    nowhere = await shared_service.http.request(method, "/v1/nowhere", headers=bearer())

    assert (404, "not_found") == (answer.status_code, answer.json()["code"])
    strip = {"request_id": None}
    assert nowhere.json() | strip == answer.json() | strip


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_without_a_token(shared_service: Service, method: str, path: str) -> None:
    """It is the same 401 as everywhere."""
    answer = await shared_service.http.request(
        method, f"/v1/admin/{path}", headers={"Authorization": "Bearer x"}
    )

    assert 401 == answer.status_code


@pytest.mark.parametrize("role", ["PP", "TAMU", None])
async def test_with_the_scope(shared_service: Service, role: str | None) -> None:
    """The scope alone counts."""
    headers = bearer(role=role, scope="openid mappings:admin")
    answer = await shared_service.http.get("/v1/admin/mappings", headers=headers)

    assert (200, []) == (answer.status_code, answer.json()["items"])


async def test_the_scope_elsewhere(shared_service: Service) -> None:
    """It opens nothing but the admin paths."""
    answer = await shared_service.http.get("/v1/satkers", headers=operator())

    assert (403, "role_not_allowed") == (answer.status_code, answer.json()["code"])


async def test_the_document(shared_service: Service) -> None:
    """Every admin operation is the operator's, and says 404 instead of 403."""
    document = (await shared_service.http.get("/openapi.json")).json()
    found = {path: ops for path, ops in document["paths"].items() if path.startswith("/v1/admin")}

    assert 6 == len([operation for ops in found.values() for operation in ops])
    for operation in (operation for ops in found.values() for operation in ops.values()):
        assert ["Operator"] == operation["tags"]
        assert "404" in operation["responses"]
        assert "403" not in operation["responses"]
