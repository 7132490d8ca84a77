"""What one upload costs its server, and a neighbour: python -m bench.uploads [--megabytes 10] [--only dates ...].

Tables of 10 MB are put one by one into a real server, with thousands of columns of each kind. Measured are the
seconds until the table is described, the processor time of all the server's processes meanwhile, and the slowest of
the predictions that somebody else asks for all the time.
"""

import argparse
import random
import threading
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from bench.records import show, write
from bench.server import Server, cpu_s, serving, tree

COLUMNS = 9_000
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
KINDS = "application/vnd.openxmlformats-officedocument.spreadsheetml"
Cell = Callable[[], str]


def cells() -> dict[str, Cell]:
    """Return what makes a cell of each kind, the same ones in every run."""
    draw = random.Random(0)
    whole, one_of = draw.randint, draw.choice
    return {
        "whole numbers": lambda: str(whole(1, 9_999)),
        "thousandths": lambda: f"{whole(1, 99)}.{whole(100, 999)}",
        "dates 2023-01-24": lambda: f"20{whole(10, 24)}-{whole(1, 12):02}-{whole(1, 28):02}",
        "dates 24-Jan-23": lambda: f"{whole(1, 28)}-{one_of(MONTHS)}-{whole(10, 24)}",
        "dates 24.01.2023 19:37": lambda: (
            f"{whole(1, 28):02}.{whole(1, 12):02}.20{whole(10, 24)} {whole(0, 23)}:{whole(10, 59)}"
        ),
        "prices $12.5K": lambda: f"${whole(1, 900)}.{whole(1, 9)}{one_of(['K', 'M', ''])}",
        "numbers 1'234'567": lambda: f"{whole(1, 900)}'{whole(100, 999)}'{whole(100, 999)}",
        "spans 9h 56m": lambda: f"{whole(1, 20)}h {whole(1, 59)}m",
        "numbers and words": lambda: one_of([str(whole(1, 99)), str(whole(1, 99)), "low", "high"]),
        "codes": lambda: f"{one_of('ABC')}{whole(1, 999):03}",
        "texts": lambda: " ".join(one_of(["red", "green", "house", "car", "road"]) for _ in range(3)),
    }


def table(cell: Cell, size: int) -> bytes:
    """Return a CSV file of about `size` bytes."""
    rows, length = [",".join(f"c{place}" for place in range(COLUMNS))], 0
    while length < size:
        rows.append(",".join(cell() for _ in range(COLUMNS)))
        length += len(rows[-1]) + 1
    return "\n".join(rows).encode()


def workbook(size: int) -> bytes:
    """Return an Excel workbook of at most about `size` bytes: 52 columns of whole numbers."""
    draw = random.Random(0)
    letters = [f"{first}{chr(place)}" for first in ("", "A") for place in range(65, 91)]
    rows = [
        f'<row r="{row}">'
        + "".join(f'<c r="{letter}{row}"><v>{draw.randint(0, 999_999)}</v></c>' for letter in letters)
        + "</row>"
        for row in range(1, size // 370)
    ]
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{KINDS}.sheet.main+xml"/>'
        f'<Override PartName="/xl/s.xml" ContentType="{KINDS}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{SHEET}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="First" sheetId="1" r:id="r"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r" Type="{OFFICE}/worksheet" Target="s.xml"/></Relationships>',
        "xl/s.xml": f'<worksheet xmlns="{SHEET}"><sheetData>{"".join(rows)}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(packed := BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return packed.getvalue()


def predictions(server: Server, job_id: str, is_over: threading.Event) -> list[float]:
    """Ask for a small prediction all the time until it is over, at least once; return the seconds of each."""
    rows, taken = {"rows": [{f"x{place}": 0.5 for place in range(1, 9)}]}, list[float]()
    while not taken or not is_over.wait(0.02):
        began = time.perf_counter()
        server.call(f"/api/models/{job_id}/predict", rows)
        taken.append(time.perf_counter() - began)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=10.0)
    parser.add_argument("--only", nargs="*", help="beginnings of the tables' names")
    asked = parser.parse_args()
    size = int(asked.megabytes * 1e6)
    makers: dict[str, Callable[[], bytes]] = {
        name: lambda cell=cell: table(cell, size)  # type: ignore[misc]
        for name, cell in cells().items()
    } | {"a workbook": lambda: workbook(size)}
    chosen = {name: make for name, make in makers.items() if not asked.only or name.startswith(tuple(asked.only))}
    results = []
    with serving(slots=1) as server:
        job_id = server.job(synthetic={"rows": 2_000})["job_id"]
        for place, (name, make) in enumerate(chosen.items()):
            body = make()
            results.append((name, len(body), *measured(server, job_id, f"t{place}", body)))
            print(f"  {name}: {results[-1][2]:.1f} s", flush=True)
    rows = [
        (name, f"{size / 1e6:.1f}", f"{wall:.1f}", f"{cpu:.1f}", f"{slowest:.2f}")
        for name, size, wall, cpu, slowest in results
    ]
    show("One upload", ("9,000 columns of", "MB", "seconds", "processor s", "slowest predict, s"), rows)
    write("uploads", results)


def measured(server: Server, job_id: str, name: str, body: bytes) -> tuple[float, float, float]:
    """Return the seconds until the table is described, the processor seconds, and the slowest prediction."""
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        neighbour = pool.submit(predictions, server, job_id, is_over)
        used, began = used_s(server), time.perf_counter()
        server.call(f"/api/datasets/{name}", body, "PUT", "application/octet-stream")
        wall = time.perf_counter() - began
        used = used_s(server) - used
        is_over.set()
        return wall, used, max(neighbour.result())


def used_s(server: Server) -> float:
    """Return the processor time of all the server's processes."""
    return sum(cpu_s(pid) for pid in tree(server.process.pid))


if __name__ == "__main__":
    main()
