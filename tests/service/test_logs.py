"""The log in pieces is the log: whatever the sizes, the attempts and the characters."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traind.service.logs import read_end, read_on

TEXT = st.text("aü€𝄞\n", max_size=40)


def write(folder: Path, attempt: int, data: bytes) -> None:
    path = folder / f"attempt-{attempt}" / "output.log"
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(data)


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=12), limit=st.integers(1, 30), cut=st.integers(1, 7))
def test_what_is_read_on_while_it_grows_is_what_was_written(
    texts: list[str], limit: int, cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, after, found = tmp_path_factory.mktemp("job"), "0:0", ""
    for attempt, text in enumerate(texts, 1):
        data = text.encode()
        for start in range(0, len(data), cut):  # characters are cut in the middle
            write(folder, attempt, data[start : start + cut])
            page = read_on(folder, after, limit)
            found, after = found + page.logs, page.next
    while (page := read_on(folder, after, limit)).logs:
        found, after = found + page.logs, page.next
    later = (f"--- attempt-{attempt} ---\n{text}" for attempt, text in enumerate(texts[1:], 2) if text)
    assert found == "".join([texts[0], *later])


def test_reading_goes_on_where_the_end_was(tmp_path: Path) -> None:
    write(tmp_path, 1, b"first\n")
    write(tmp_path, 2, "größe".encode()[:-2])
    page = read_end(tmp_path, 1_000)
    assert page.logs == "--- attempt-1 ---\nfirst\n--- attempt-2 ---\ngröß"[: len(page.logs)]
    write(tmp_path, 2, "größe".encode()[-2:] + b"\n")
    write(tmp_path, 3, b"last\n")
    rest = read_on(tmp_path, page.next, 1_000)
    assert (page.logs + rest.logs).endswith("größe\n--- attempt-3 ---\nlast\n")
    assert read_end(tmp_path, 4).logs == "--- attempt-3 ---\nast\n"


def test_nothing_was_printed(tmp_path: Path) -> None:
    page = read_end(tmp_path, 100)
    assert page.logs == read_on(tmp_path, page.next, 100).logs == ""
