"""Files of trainers: what is listed can be fetched, and nothing else can."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traind.service.errors import JobFileNotFound
from traind.service.http.files import attached
from traind.service.job_files import find_file, list_files

OURS = ("checkpoint-000001.pt", "checkpoint-000001.json", "model.pt", "assignment.json", "output.log", "stacks.txt")


def written(path: Path, content: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(folder: Path, limit: int = 1_000) -> list[str]:
    """Return all names, read in pages of `limit`."""
    found, after = [], None
    while True:
        page = list_files(folder, limit, after)
        found += [one.name for one in page.files]
        if page.next is None:
            return found
        after = page.next


@pytest.fixture
def job_dir(tmp_path: Path) -> Path:
    """Everything that can stand in a job's folder."""
    for name in OURS:
        written(tmp_path / "attempt-1" / name)
    written(tmp_path / "attempt-1/notes.txt")
    written(tmp_path / "attempt-10/plots/late.png")
    written(tmp_path / "files/scores.csv", "1,2\n")
    written(tmp_path / "files/model.pt")  # a trainer's own, not ours
    written(tmp_path / "files/a b/ü.txt")
    written(tmp_path / "elsewhere.txt")
    return tmp_path


def test_what_a_trainer_wrote_is_listed_and_found(job_dir: Path) -> None:
    found = names(job_dir)
    assert found == [
        *("attempt-1/notes.txt", "attempt-10/plots/late.png"),
        *("files/a b/ü.txt", "files/model.pt", "files/scores.csv"),
    ]
    assert all(find_file(job_dir, name).read_text() for name in found)
    assert list_files(job_dir, 10, None).files[-1].size_bytes == 4


@pytest.mark.parametrize(
    "name",
    [
        *(f"attempt-1/{name}" for name in OURS),
        *("", "files", "files/", "files/a b", "/etc/passwd", "elsewhere.txt", "files/../elsewhere.txt"),
        *("files/./scores.csv", "files//scores.csv", "../x", "files/scores.csv/", "files/none", "files/\x00"),
        "files/" + "x" * 4_000,
    ],
)
def test_nothing_else_is_found(job_dir: Path, name: str) -> None:
    with pytest.raises(JobFileNotFound):
        find_file(job_dir, name)


def test_links_and_special_files_are_neither_shown_nor_followed(job_dir: Path) -> None:
    secret = written(job_dir.parent / "secret.txt")
    before = names(job_dir)
    (job_dir / "files/link.txt").symlink_to(secret)
    (job_dir / "files/folder").symlink_to(job_dir.parent)
    os.mkfifo(job_dir / "files/pipe")
    written(Path(os.fsdecode(os.fsencode(job_dir) + b"/files/\xff.txt")))
    assert names(job_dir) == before
    for name in ("files/link.txt", "files/folder/secret.txt", "files/pipe"):
        with pytest.raises(JobFileNotFound):
            find_file(job_dir, name)


def test_a_job_without_files_has_none(tmp_path: Path) -> None:
    assert names(tmp_path / "none") == []


PART = st.text("ab.-0 ü", min_size=1, max_size=3).filter(lambda part: part not in {".", ".."})


@settings(max_examples=60, deadline=None)
@given(paths=st.lists(st.lists(PART, min_size=1, max_size=4), max_size=12), limit=st.integers(1, 5))
def test_pages_of_any_size_are_the_whole_list(
    paths: list[list[str]], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("job")
    wanted = set()
    for parts in paths:
        path = folder.joinpath("files", *parts)
        if not path.exists() and not any(above.is_file() for above in path.parents):
            written(path)
            wanted.add("/".join(("files", *parts)))
    found = names(folder, limit)
    assert set(found) == wanted
    assert all(one.split("/") < other.split("/") for one, other in pairwise(found))


def test_the_name_of_a_download_is_one_header() -> None:
    header = attached('a"\r\nX: ü;.txt')["Content-Disposition"]
    assert header == "attachment; filename=\"a___X: _;.txt\"; filename*=UTF-8''a%22%0D%0AX%3A%20%C3%BC%3B.txt"
    assert attached("a.txt")["Content-Disposition"] == 'attachment; filename="a.txt"'
