"""The picture of many curves: moved, it is what drawing all of them again would be."""

import pytest

pytestmark = pytest.mark.e2e
# Draws 60 curves at a range, pans by odd amounts, and draws the same range anew; returns how many pixels differ.
MOVED = """
async ({ by, steps, isZoom }) => {
  const { Ink, sized } = await import(new URL("page/ink.js", location.href));
  const { scale } = await import(new URL("page/scale.js", location.href));
  const lines = Array.from({ length: 60 }, (_, n) => {
    const x = Array.from({ length: 700 }, (_, index) => index);
    return { id: n, color: `hsl(${n * 6} 70% 50%)`, x, y: x.map((at) => Math.sin(at / 9 + n) * (n + 1)), raw: null };
  });
  const area = { left: 50, right: 750, top: 12, bottom: 360 };
  const y = scale(-62, 62, area.bottom, area.top);
  const at = (from, to) => ({ x: scale(from, to, area.left, area.right), y, area });
  const pixels = (ink, view) => {
    const pen = sized(document.createElement("canvas"), 800, 400);
    ink.put(pen, lines, view);
    return pen.getImageData(0, 0, pen.canvas.width, pen.canvas.height).data;
  };
  const moved = new Ink();
  let view = at(200, 400);
  moved.draw(lines, view);
  for (let step = 0; step < steps && !isZoom; step += 1) {
    view = { ...view, x: moved.pan(lines, view.x.invert(area.left) + by) };
  }
  if (isZoom) view = at(150, 450);
  const [low, high] = [view.x.invert(area.left), view.x.invert(area.right)];
  const again = new Ink();
  again.draw(lines, at(low, high));
  const [one, other] = [pixels(moved, view), pixels(again, at(low, high))];
  let [differ, inked] = [0, 0];
  for (let index = 3; index < one.length; index += 4) {
    inked += other[index] > 0;
    const column = ((index - 3) / 4) % 800;
    const isMargin = column < 170 || column > 630; // what zooming out draws beside the stretched picture
    if ((!isZoom || isMargin) && Math.abs(one[index] - other[index]) > 40) differ += 1;
  }
  return { share: differ / inked, inked, from: low };
}
"""


@pytest.mark.parametrize(("by", "steps"), [(7.3, 12), (-11.9, 9), (260.0, 1), (0.05, 30)])
async def test_a_panned_picture_is_what_is_drawn_anew(server, visitor, by, steps):
    page = await visitor.open(server.url)
    found = await page.evaluate(MOVED, {"by": by, "steps": steps, "isZoom": False})
    assert found["inked"] > 10_000
    assert found["share"] < 0.01, found


async def test_zoomed_out_the_sides_are_drawn(server, visitor):
    page = await visitor.open(server.url)
    found = await page.evaluate(MOVED, {"by": 0, "steps": 0, "isZoom": True})
    assert found["share"] < 0.05, found
