"""How smooth many runs are on one chart of the page: python -m bench.compare_page.

A real server has runs of a trainer that reports a number at each step; a real Chromium, without a graphics card,
opens them all beside each other. Measured are the first curves and all of them after the address was entered, and the
time from frame to frame while the chart is panned and zoomed by the wheel. Needs Chromium and `playwright`.
"""

import argparse
import asyncio
import json
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

from bench.records import Repeats, say, show, write
from bench.server import Server, serving
from playwright.async_api import Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
FRAMES = 120
TRAINER = """
import math

import torch


def train(run):
    points, phase = run.options["points"], run.options["phase"]
    for step in range(1, points + 1):
        noise = math.sin(step * phase) * 0.05 + math.sin(step * 12.9898 * phase) * 0.02
        run.measure(value=math.exp(-3 * step / points * phase) + noise)
        if step % 100 == 0:
            run.report(step=step, total=points, loss=1.0)
    run.report(step=points, total=points, loss=1.0)
    run.finish({"weights": torch.zeros(1)})
"""
OPENED = """async ([address, runs]) => {
  const frame = () => new Promise(requestAnimationFrame);
  const began = performance.now();
  location.hash = address;
  const found = {};
  for (;;) {
    await frame();
    const words = document.querySelector(".compare .page-head [role=status]")?.textContent ?? "";
    const [loaded] = words.match(/^\\d+/) ?? ["0"];
    if (Number(loaded) > 0) found.first ??= (performance.now() - began) / 1000;
    if (words === `${runs} runs`) return { ...found, all: (performance.now() - began) / 1000 };
  }
}"""
MOVED = """async ([kind, frames]) => {
  const frame = () => new Promise(requestAnimationFrame);
  const over = document.querySelector(".many .over");
  const box = over.getBoundingClientRect();
  const taken = [];
  let before = await frame();
  for (let number = 0; number < frames; number += 1) {
    const back = number % 60 < 30 ? 1 : -1;
    const at = { clientX: box.left + box.width / 2, clientY: box.top + 100, bubbles: true, cancelable: true };
    const moved = kind === "pan" ? { deltaX: 12 * back } : { ctrlKey: true, deltaY: -6 * back };
    over.dispatchEvent(new WheelEvent("wheel", { ...at, ...moved }));
    const now = await frame();
    taken.push((now - before) / 1000);
    before = now;
  }
  return taken;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--points", type=int, default=2_000, help="of each run")
    parser.add_argument("--root", type=Path, help="folder of the server: the runs that are there are not made again")
    asked = parser.parse_args()
    with TemporaryDirectory(prefix="traind-bench-") as folder:
        trainer = Path(folder) / "curve_trainer.py"
        trainer.write_text(TRAINER)
        flags = ("--trainers", json.dumps({"curve": f"{trainer}:train"}))
        with serving(2, asked.root, flags) as server:
            ids = made(server, asked.runs, asked.points)
            taken = asyncio.run(looked_at(server, ids))
    rows = []
    for name, values in taken.items():
        rows.append((name, *(f"{value:.3f}" for value in (median(values), worst(values), max(values)))))
    show(f"seconds, of {asked.runs} runs with {asked.points} points", ("", "median", "95 of 100", "most"), rows)
    write("compare_page", taken)


def worst(values: list[float]) -> float:
    """Return what 95 of 100 are below."""
    return quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def made(server: Server, runs: int, points: int) -> list[str]:
    """Return the ids of that many finished runs; those that the server has not are made."""
    names = [f"curve-{number}" for number in range(runs)]
    listed = server.call("/api/train/jobs?limit=1000&trainer=curve")["jobs"]
    known = {job["job_id"] for job in listed}
    for number, name in enumerate(names):
        if name not in known:
            options = {"points": points, "phase": 0.5 + number / runs}
            server.call("/api/train", {"trainer": "curve", "options": options, "job_id": name})
    for name in names:
        server.finished(name)
    say(f"{runs} runs are there")
    return names


async def looked_at(server: Server, ids: list[str]) -> Repeats:
    """Return the seconds until curves are there, and those between frames."""
    address = f"#/compare/{','.join(ids)}?metric=value"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        await page.goto(f"http://127.0.0.1:{server.port}/")
        await page.get_by_role("table", name="Jobs").wait_for()
        opened: dict[str, float] = await page.evaluate(OPENED, [address, len(ids)])
        say(f"first curves after {opened['first']:.2f} s, all after {opened['all']:.2f} s")
        await page.wait_for_timeout(2_000)  # the table is drawn once more
        frames = {"a frame while nothing moves": await still(page)}
        await page.locator(".over").focus()
        await page.keyboard.press("+")
        await page.keyboard.press("+")
        await page.wait_for_timeout(1_000)
        frames["a frame of panning"] = await page.evaluate(MOVED, ["pan", FRAMES])
        await page.wait_for_timeout(1_000)
        frames["a frame of zooming"] = await page.evaluate(MOVED, ["zoom", FRAMES])
        await browser.close()
    return {"first curves": [opened["first"]], "all curves": [opened["all"]], **frames}


async def still(page: Page) -> list[float]:
    """Return the seconds between frames while nothing is asked of the page."""
    taken: Any = await page.evaluate(
        "async (frames) => { const taken = []; let before = await new Promise(requestAnimationFrame); "
        "for (let n = 0; n < frames; n += 1) { const now = await new Promise(requestAnimationFrame); "
        "taken.push((now - before) / 1000); before = now; } return taken; }",
        FRAMES,
    )
    return list(taken)


if __name__ == "__main__":
    main()
