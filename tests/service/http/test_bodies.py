"""What is said of a body that is not JSON."""

import pytest

from traind.service.http.bodies import decode
from traind.service.http.errors import InvalidJson


def test_numbers_that_json_does_not_have_are_named_by_field() -> None:
    with pytest.raises(InvalidJson) as refused:
        decode(b'{"lr": NaN, "epochs": 3, "model": {"hidden": [1, -Infinity]}}')
    assert [problem["loc"] for problem in refused.value.details] == ["lr", "model.hidden.1"]
    assert "lr is not a finite number" in refused.value.message


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": tru}', b"\xff", b"[" * 100_000])
def test_other_text_is_refused_without_guessing(body: bytes) -> None:
    with pytest.raises(InvalidJson, match="not valid JSON") as refused:
        decode(body)
    assert refused.value.details == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"epochs": 3, "lr"', "ends too early, after 18 bytes"),
        (b"  ", "it is empty"),
        (b'{"name": "\xed\xa0\x80"}', "byte 10 is not UTF-8"),
        (b'{"model": {"dropout": 1e400}}', "model.dropout is not a finite number, or one too large"),
        (b'{"seed": ' + b"9" * 5_000 + b"}", "seed is not a finite number, or one too large"),
        (b'{"epochs": 3,, "lr": 1}', "byte 13"),
    ],
)
def test_it_is_said_where_the_text_stops_being_json(body: bytes, told: str) -> None:
    with pytest.raises(InvalidJson, match=told):
        decode(body)
