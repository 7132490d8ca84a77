"""What a seat sends is here whole, or not at all."""

import hashlib
from pathlib import Path

import pytest

from traind.service.executor.ray.transfer import NotWhole, bring

CONTENT = b"weights" * 1_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


async def read(_name: str, offset: int, size: int) -> bytes:
    return CONTENT[offset : offset + size]


@pytest.mark.parametrize("content", [CONTENT, b""], ids=["with the answer", "in pieces"])
async def test_content_is_brought(tmp_path: Path, content: bytes) -> None:
    await bring(read, "a", len(CONTENT), tmp_path / "a", DIGEST, content)
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT, b""], ids=["with the answer", "in pieces"])
async def test_content_of_another_digest_is_not_taken(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(NotWhole):
        await bring(read, "a", len(CONTENT), tmp_path / "a", DIGEST[::-1], content)
    assert list(tmp_path.iterdir()) == []
