"""Tokens: from a file or the environment, by name; wrong ones slow down whoever sends them."""

import pytest

from traind.service.errors import InvalidSpec
from traind.service.http.errors import BadTokens
from traind.service.http.guard import make_hosts, make_origins
from traind.service.http.tokens import FailedAttempts, load_tokens, parse_tokens


def test_a_line_is_a_token_or_a_name_and_a_token():
    tokens = parse_tokens("# people\n\nalice:one\n  bob:two:three  \nbare-token\n", "file")
    assert len(tokens) == 3
    assert tokens.name_of(b"one") == "alice"
    assert tokens.name_of(b"two:three") == "bob"
    assert tokens.name_of(b"bare-token") == "token-5"
    assert tokens.name_of(b"") is None
    assert tokens.name_of(b"\xff") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no token"),
        ("# only\n", "no token"),
        ("a:x\na:y", "line 2"),
        (":x", "line 1"),
        ("a:", "line 1"),
        ("x y", "line 1"),
    ],
)
def test_what_is_no_token_is_named_by_its_line(text, words):
    with pytest.raises(BadTokens, match=words):
        parse_tokens(text, "file")


def test_a_token_of_the_environment_is_taken_out_of_it(tmp_path):
    environ = {"TRAIND_TOKEN": "alice:one,two", "HOME": "/"}
    tokens = load_tokens(None, environ)
    assert tokens is not None
    assert tokens.name_of(b"two") is not None
    assert environ == {"HOME": "/"}
    assert load_tokens(None, {}) is None
    file = tmp_path / "tokens"
    file.write_text("bob:three")
    from_file = load_tokens(file, {"TRAIND_TOKEN": "one"})
    assert from_file is not None
    assert from_file.name_of(b"one") is None


def test_a_file_that_cannot_be_used_is_a_sentence(tmp_path):
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("missing", "bytes", "."):
        with pytest.raises(BadTokens):
            load_tokens(tmp_path / name, {})


def test_a_file_that_everybody_can_read_is_warned_of(tmp_path, caplog):
    file = tmp_path / "tokens"
    file.write_text("bob:three")
    for mode, lines in ((0o600, 0), (0o640, 0), (0o644, 1)):
        file.chmod(mode)
        assert load_tokens(file, {}) is not None
        assert len(caplog.records) == lines
    assert "three" not in caplog.text


def test_wrong_tokens_fill_a_bucket_that_empties_with_time():
    now = [100.0]
    attempts = FailedAttempts(burst=3, refill_s=10, clock=lambda: now[0])
    for _ in range(3):
        assert attempts.wait_s("here") == 0
        attempts.failed("here")
    assert attempts.wait_s("here") == 10
    assert attempts.wait_s("there") == 0
    now[0] += 10
    assert attempts.wait_s("here") == 0
    attempts.failed("here")
    assert attempts.wait_s("here") == 10


def test_the_short_way_is_closed_while_somebody_guesses():
    now = [100.0]
    attempts = FailedAttempts(burst=3, refill_s=10, clock=lambda: now[0])
    attempts.succeeded("here", "Bearer right", "alice")
    assert attempts.trusted == {"Bearer right": "alice"}
    for _ in range(3):
        attempts.failed("there")
    attempts.succeeded("here", "Bearer right", "alice")
    assert attempts.trusted == {}
    assert attempts.wait_s("there") == 10
    assert attempts.is_proven("here", "Bearer right")
    assert not attempts.is_proven("there", "Bearer right")
    now[0] += 31
    attempts.succeeded("here", "Bearer right", "alice")
    assert attempts.trusted == {"Bearer right": "alice"}


def test_addresses_are_forgotten_before_they_fill_the_memory():
    attempts = FailedAttempts(addresses=10)
    for place in range(100):
        attempts.failed(str(place))
        attempts.succeeded(str(place), "Bearer token", "alice")
    assert len(attempts._spent) == len(attempts._proven) == 10


@pytest.mark.parametrize("name", ["https://a.example", "a b", "", "a.example/x", "a:b", "*", "[zz]"])
def test_a_host_that_can_never_match_is_refused(name):
    with pytest.raises(InvalidSpec, match="hosts: must be names"):
        make_hosts([name])


@pytest.mark.parametrize("name", ["a.example", "https://a.example/x", "*", "null", "ftp://a.example"])
def test_an_origin_that_can_never_match_is_refused(name):
    with pytest.raises(InvalidSpec, match="origins: must be such as"):
        make_origins([name])


def test_a_role_stands_behind_the_token_and_any_other_word_belongs_to_it():
    tokens = parse_tokens("ann:s3cret:viewer\nbob:s3cret2:operator\ncas:a:b\ndan::viewer", "here")
    assert tokens.viewers == {"ann"}
    found = [tokens.name_of(token) for token in (b"s3cret", b"s3cret2", b"a:b", b":viewer")]
    assert found == ["ann", "bob", "cas", "dan"]
    with pytest.raises(BadTokens):
        parse_tokens("eve:two words:viewer", "here")
