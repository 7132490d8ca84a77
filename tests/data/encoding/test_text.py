import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traind.data.encoding.encoder import Encoder, fit
from traind.data.encoding.text import fit_text, tokens_of
from traind.data.limits import TEXT_WIDTH
from traind.data.table.arrays import Table, codes_of
from traind.data.table.schema import Column, Schema

RNG = random.Random(3)
WORDS = ["free", "prize", "call", "lunch", "home", "tomorrow", "0800123456", "later", "dear"]
TEXTS = [" ".join(RNG.choices(WORDS, k=RNG.randint(2, 9))) + RNG.choice(["", "!", "?"]) for _ in range(300)]


def encoder_of(texts: list[str | None]) -> Encoder:
    columns = (Column(name="x", kind="text", evidence=""), Column(name="n", kind="numeric", evidence=""))
    schema = Schema(n_rows=0, target="y", task="regression", task_reason="", columns=columns)
    return fit(schema, table_of(texts))


def table_of(texts: list[str | None]) -> Table:
    return Table({"x": codes_of(texts), "n": np.arange(float(len(texts)))}, len(texts))


def test_a_text_is_the_tokens_that_training_rows_share() -> None:
    encoder = encoder_of(list(TEXTS))
    (bag,) = encoder.bags
    found = encoder.encode(table_of(["free prize!", "PRIZE! free", None, "xyzzy"])).categorical
    assert found.shape == (4, bag.width)
    assert found.max() < bag.size
    assert (found[0] > 0).sum() > 5
    assert set(found[0]) & set(found[1]) - {0}
    assert not found[2].any()
    assert (found[3] > 0).sum() <= 3  # its length, and that it is one word
    assert encoder.places("x") == ([], list(range(bag.start, bag.start + bag.width)))


def test_a_code_says_its_prefix_and_its_length() -> None:
    one, same, other = (set(tokens_of(text, has_letters=False)) for text in ("PC 17599", "PC 17601", "113803"))
    assert len(one & same) > len(one & other)


@settings(deadline=None, max_examples=30)
@given(texts=st.lists(st.one_of(st.none(), st.text(max_size=200)), min_size=1, max_size=30))
def test_an_encoder_of_text_is_its_state(texts: list[str | None]) -> None:
    encoder = encoder_of(texts)
    again = Encoder.from_state(json.loads(json.dumps(encoder.state())))
    assert again == encoder
    assert (again.encode(table_of(texts)).categorical == encoder.encode(table_of(texts)).categorical).all()


def test_an_endless_text_is_bounded() -> None:
    rule = fit_text("x", codes_of([" ".join(f"w{i % n}" for i in range(50_000)) for n in range(3, 30)]))
    assert rule is not None
    assert rule.width <= TEXT_WIDTH


@pytest.mark.parametrize("texts", [["a"], [None, None]])
def test_texts_that_share_nothing_are_no_feature(texts: list[str | None]) -> None:
    assert fit_text("x", codes_of(texts)) is None
