"""DELETE …/mapping, and what leaves with a satker: an access ends, and with the last one the mapping."""

import pytest

from tests.invariants import violations
from tests.mapping.people import accesses, attempts, on_sqlite, person, said, told
from tests.service import Service

pytestmark = pytest.mark.anyio


async def test_ending_the_only_access(service: Service) -> None:
    """Satker and company are free again: for each other, and for others."""
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    await who.log_in("budi@lain.example")
    assert (204, "") == said(await who.unlink())
    mapping = await who.mapping()
    assert ("unmapped", None, None, None) == tuple(
        mapping[key] for key in ("status", "company", "via", "mapped_at")
    )
    assert (201, "mapped") == said(await (await person(service, 2, 1)).log_in("budi@lain.example"))
    assert (201, "mapped") == said(await who.register())
    ended = [("mapped", "ok"), ("access_ended", "ok"), ("unmapped", "ok")]
    assert ended == (await told(service.database))[:3]
    assert [] == await violations(service.database, await service.truth())


async def test_ending_what_is_not_there(service: Service) -> None:
    """204 all the same, as often as one likes; what belongs to others stays, and no row is written."""
    await service.make_account("budi@lain.example", "PT Budi")
    who, stranger = await person(service, 1), await person(service, 2)
    assert (204, "") == said(await who.unlink())
    await who.log_in("budi@lain.example")
    assert (204, "") == said(await stranger.unlink())
    assert "mapped" == await who.status()
    assert [("mapped", "ok")] == await told(service.database)
    for _ in range(2):
        assert (204, "") == said(await who.unlink())
    assert 3 == len(await told(service.database))


async def test_ending_one_of_two_accesses(service: Service) -> None:
    """The colleague keeps the mapping; who left sees as little as anybody, and gets back in by proof alone."""
    await service.make_account("budi@lain.example", "PT Budi")
    who, colleague = await person(service, 1), await person(service, 2)
    for each in (who, colleague):
        await each.log_in("budi@lain.example")
    assert (204, "") == said(await who.unlink())
    assert ["mapped_by_other", "mapped"] == [await who.status(), await colleague.status()]
    assert "log_in" == await who.step()
    assert (201, "mapped") == said(await who.log_in("budi@lain.example"))
    assert ["mapped"] == [row.state for row in await attempts(service.database)]
    assert [] == await violations(service.database, await service.truth())


async def test_removing_and_adding_again(service: Service) -> None:
    """A new place on the list, and no access is restored: not while a colleague stays, nor when nobody does."""
    await service.make_account("budi@lain.example", "PT Budi")
    who, colleague = await person(service, 1), await person(service, 2)
    for each in (who, colleague):
        await each.log_in("budi@lain.example")
    assert (409, "satker_has_mapping") == said(await who.remove())
    assert (204, "") == said(await who.remove(unlink=True))
    again = await person(service, 1)
    assert again.satker != who.satker
    assert "mapped_by_other" == await again.status()
    assert (404, "satker_not_found") == said(await who.unlink())
    assert (204, "") == said(await colleague.remove(unlink=True))
    assert "unmapped" == await again.status()
    assert [] == await accesses(service.database)
    assert [] == await violations(service.database, await service.truth())


@on_sqlite
async def test_removing_a_satker_that_a_colleague_has_mapped(service: Service) -> None:
    """There is nothing of one's own to end, so it goes at once and the mapping stays."""
    await service.make_account("budi@lain.example", "PT Budi")
    who, stranger = await person(service, 1), await person(service, 2)
    await who.log_in("budi@lain.example")
    assert (204, "") == said(await stranger.remove())
    assert "mapped" == await who.status()


@on_sqlite
async def test_changing_a_satker(service: Service) -> None:
    """Not while it is mapped; once it is, the last failure goes too, for it was the other satker's."""
    await service.make_account("budi@lain.example", "PT Budi")
    who = await person(service)
    await who.log_in("budi@lain.example")
    assert (409, "satker_has_mapping") == said(await who.patch(service.catalog[1]))
    await who.unlink()
    assert (409, "email_taken") == said(await who.register("budi@lain.example"))
    assert 200 == (await who.patch(service.catalog[1])).status_code
    assert None is (await who.mapping())["last_failure"]


@on_sqlite
async def test_ending_somebody_elses_access(service: Service) -> None:
    """Another PP's satker answers as one that does not exist."""
    await service.make_account("budi@lain.example", "PT Budi")
    who, stranger = await person(service, 1), await person(service, 2)
    await who.log_in("budi@lain.example")
    url = f"/v1/satkers/{who.satker}/mapping"
    assert (404, "satker_not_found") == said(await service.http.delete(url, headers=stranger.headers))
    assert "mapped" == await who.status()
