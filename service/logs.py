"""What jobs printed: the end of their output files, one an attempt. Called by the service, off the loop."""

from pathlib import Path

OUTPUT_NAME = "output.log"


def read_logs(job_dir: Path, limit_bytes: int) -> str:
    """Return the last `limit_bytes` of a job's output, attempts in order, each under a line that names it."""
    folders = sorted(job_dir.glob("attempt-[0-9]*"), key=lambda path: int(path.name.removeprefix("attempt-")))
    parts: list[str] = []
    left = limit_bytes
    for folder in reversed(folders):
        path = folder / OUTPUT_NAME
        if left <= 0 or not path.exists():
            continue
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - left))
            text = file.read(left)
        left -= len(text)
        if text:
            header = f"--- {folder.name} ---\n" if len(folders) > 1 else ""
            parts.insert(0, header + text.decode("utf-8", "replace"))
    return "".join(parts)
