"""Other people's words in logs and terminals: one line stays one, and nothing is obeyed."""

import io
import logging
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traind.service.http.telemetry import JOB_ID, configure_logging
from traind.service.plain_text import plain, plain_lines


@given(st.text(st.characters()) | st.text("\n\r\t\x1b\x9b\u202e\u2028ab"))
def test_a_text_becomes_one_line_that_no_terminal_obeys(text):
    shown = plain(text)
    assert shown.splitlines() in ([], [shown])
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(shown) & set("\u202a\u202e\u2066\u200b\u200e\ufeff")
    assert plain(shown) == shown
    assert plain_lines(text).replace("\n", "").replace("\t", "") == plain(text.replace("\n", "").replace("\t", ""))


@pytest.mark.parametrize("forged", ["x\n12:00:00 error   logged in", "\x1b[2Jx", "x\r12:00", "x\u2028y", "x\x85y"])
def test_neither_a_message_nor_an_id_forges_a_line_of_the_log(forged):
    stream = io.StringIO()
    handler = configure_logging("plain", logging.INFO, stream)
    token = JOB_ID.set(forged)
    try:
        logging.getLogger("traind.http").info("refused %s", forged)
    finally:
        JOB_ID.reset(token)
        logging.getLogger("traind").removeHandler(handler)
        logging.getLogger("traind").propagate = True
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert len(written.splitlines()) == 1
    assert "\x1b" not in written
