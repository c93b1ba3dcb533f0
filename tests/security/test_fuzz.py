"""The service against its own document, with a fixed seed; `make fuzz` does it 20,000 times, each time with another."""

from pathlib import Path

from tests.fuzz import Target, fuzz
from tests.test_openapi import OPERATIONS


def test_calling_with_what_fits_the_document_and_what_does_not(tmp_path: Path) -> None:
    """No 500, every answer as published, with a token and without; every operation is reached behind its token."""
    with Target(tmp_path) as target:
        fuzz(target, cases=400, seed=2026)
    reached = {operation for operation, status in target.seen if status != 401}
    assert set(OPERATIONS) == reached
    assert {200, 201, 204, 401, 404, 422} <= {status for _, status in target.seen}
