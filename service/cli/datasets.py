"""Commands about the data sets of a running server."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from msgspec import convert

from traind.data.reading.formats import Format, Options, checked, parse_format
from traind.service.cli.entry import about
from traind.service.cli.flags import Json, Remote
from traind.service.client import calls
from traind.service.client.transfers import format_of
from traind.service.plain_text import plain
from traind.service.sources import OnProgress

ANYWHERE = Remote()
Option = Annotated[str | None, Parameter(show_default=False)]
Name = Annotated[str, Parameter(help="the data set's name")]


@Parameter(name="*")
@dataclass(frozen=True)
class ReadFlags:
    """How a file is to be read, where that cannot be inferred."""

    encoding: Option = None
    delimiter: Option = None
    quote: Option = None
    decimal: Option = None
    thousands: Option = None
    skip: int = 0
    comment: Option = None
    missing: tuple[str, ...] = ()
    header: bool = True
    sheet: Option = None

    def merged(self, form: str | None, file: Path) -> str | None:
        """Return the format with these options, as the server takes it; raises `BadTable`."""
        options = checked(convert(asdict(self), Options))
        if options == Options():
            return form
        known = form or format_of(file)
        return (
            str(parse_format(known or "csv").with_options(options))
            if known
            else str(Format("csv").with_options(options))
        )


AS_FOUND = ReadFlags()
app = App(name="datasets", help="Register, list, show and delete data sets of a server.")


@app.command(name="list")
def list_all(*, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """List the registered data sets."""
    from traind.service.cli.show import print_json, print_table

    connection, page_size = remote.connection(), 1_000
    page = connection.send(calls.datasets(page_size, None))
    found = page.datasets
    while page.next is not None:
        page = connection.send(calls.datasets(page_size, page.next))
        found += page.datasets
    if as_json:
        print_json(found)
        return
    rows = (
        [one.name, one.format, size_text(one.size_bytes), one.digest[:12], len(one.versions) or 1] for one in found
    )
    print_table(["name", "format", "size", "digest", "versions"], rows)


@app.command
def put(
    name: Name,
    file: Annotated[Path, Parameter(help="CSV, TSV, JSONL (each .gz too), Parquet or xlsx")],
    *,
    format: Annotated[str | None, Parameter(help="format, where the file name does not show it")] = None,  # noqa: A002
    read: ReadFlags = AS_FOUND,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """Register a file; an existing name gets a new version."""
    from traind.service.cli.show import print_json

    with about(file), upload_shown(file.name) as on_progress:
        dataset = remote.client().put_dataset(name, file, read.merged(format, file), on_progress=on_progress)
    if as_json:
        print_json(dataset)
    else:
        print(f"{dataset.name}  {dataset.format}  {size_text(dataset.size_bytes)}  {dataset.digest[:12]}")


@app.command
def show(name: Name, *, remote: Remote = ANYWHERE, as_json: Json = False) -> None:
    """Show a data set: its columns, their kinds with the reasons, warnings."""
    from traind.service.cli.show import print_json

    dataset = remote.connection().send(calls.dataset(name))
    if as_json:
        print_json(dataset)
        return
    print(f"{dataset.name}  {dataset.format}  {size_text(dataset.size_bytes)}  {dataset.digest}")
    print_summary(dataset.summary)


@app.command
def preview(
    name: Name,
    *,
    rows: Annotated[int, Parameter(help="how many")] = 20,
    remote: Remote = ANYWHERE,
    as_json: Json = False,
) -> None:
    """Print the first rows of a data set."""
    from traind.service.cli.show import print_json, print_table

    found = remote.connection().send(calls.preview(name, rows))
    if as_json:
        print_json(found)
        return
    print_table([column["name"] for column in found["columns"]], found["rows"])


@app.command
def delete(name: Name, *, as_json: Json = False, remote: Remote = ANYWHERE) -> None:
    """Remove a data set that no unfinished job uses."""
    remote.connection().send(calls.delete_dataset(name))
    if as_json:
        from traind.service.cli.show import print_json

        print_json({"ok": True, "deleted": name})


def print_summary(summary: dict[str, Any]) -> None:
    """Print a table's summary: rows, columns with kind and reason, warnings."""
    from traind.service.cli.show import print_table

    if "n_rows" in summary:
        print(f"{summary['n_rows']:,} rows")
    columns = [(column["name"], column.get("kind", ""), _because(column)) for column in summary["columns"]]
    print_table(["column", "kind", "because"], columns)
    for warning in summary.get("warnings", ()):
        print(plain(f"warning: {warning['message'] if isinstance(warning, dict) else warning}"))


def _because(column: dict[str, Any]) -> str:
    """Return why a column has its kind, and for the target and ignored columns their role."""
    evidence: str = column.get("evidence", "")
    match column.get("role"):
        case "target":
            return f"the target; {evidence}"
        case "ignored":
            return f"left out, {'; '.join(dict.fromkeys((column.get('role_reason', ''), evidence)))}"
        case _:
            return evidence


def size_text(size_bytes: float) -> str:
    """Return a size as people read it."""
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"


@contextmanager
def upload_shown(name: str) -> Iterator[OnProgress | None]:
    """Show an upload as a bar, in a terminal; yields its `on_progress`."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"Sending {name}", total=None)
        yield lambda sent, size_bytes: bar.update(task, completed=sent, total=size_bytes)
