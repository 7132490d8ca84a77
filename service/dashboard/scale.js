// Axes: from values to places and back, linear or logarithmic, and the round numbers to write beside them.

/** Return a scale from [low, high] to [start, end]. */
export function scale(low, high, start, end, isLog = false) {
  const forth = isLog ? Math.log10 : (x) => x;
  const back = isLog ? (x) => 10 ** x : (x) => x;
  const from = forth(low);
  const span = forth(high) - from || 1;
  const place = (x) => start + ((forth(x) - from) / span) * (end - start);
  place.invert = (at) => back(from + ((at - start) / (end - start)) * span);
  place.ticks = (wanted) => (isLog ? logTicks(low, high, wanted) : ticks(low, high, wanted));
  return place;
}

/** Return round numbers in [low, high], about `wanted` of them. */
export function ticks(low, high, wanted) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((round) => round * power).find((size) => size >= rough * 0.99);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(Number((n * step).toPrecision(12)));
  return found;
}

function logTicks(low, high, wanted) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    for (const round of [1, 2, 5]) {
      const tick = Number((round * 10 ** power).toPrecision(6));
      if (tick >= low && tick <= high) found.push(tick);
    }
  }
  if (found.length < 2) return ticks(low, high, wanted);
  if (found.length <= wanted + 1) return found;
  const decades = found.filter((tick) => Number.isInteger(Number(Math.log10(tick).toFixed(9))));
  if (decades.length < 2) return found.filter((_, index) => index % Math.ceil(found.length / wanted) === 0);
  return decades.filter((_, index) => index % Math.ceil(decades.length / (wanted + 1)) === 0);
}

/** Return [low, high] around all finite values; a log scale sees only the positive ones. Null if there are none. */
export function extent(lists, isLog) {
  let low = Infinity;
  let high = -Infinity;
  for (const list of lists) {
    for (const value of list) {
      if (!Number.isFinite(value) || (isLog && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return low <= high ? [low, high] : null;
}

/** Return the range with some air around it, so that curves do not touch the frame. */
export function padded([low, high], isLog) {
  if (isLog) {
    const air = (high / low) ** 0.06;
    return low === high ? [low / 1.5, high * 1.5] : [low / air, high * air];
  }
  const air = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - air, high + air];
}

/** Return the index of the last x that is not beyond `at`; -1 if all are. */
export function before(xs, at) {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Return the index of the x that is nearest to `at`; -1 if there are none. */
export function nearest(xs, at) {
  const index = before(xs, at);
  if (index < 0) return xs.length ? 0 : -1;
  return index + 1 < xs.length && xs[index + 1] - at < at - xs[index] ? index + 1 : index;
}

/** Return the values smoothed by the mean of their neighbours; towards both ends fewer of them count. Gaps stay gaps. */
export function smoothed(values) {
  const reach = Math.max(2, Math.min(50, Math.round(values.length * 0.012)));
  const sums = [0];
  const counts = [0];
  for (const value of values) {
    const isKnown = Number.isFinite(value);
    sums.push(sums.at(-1) + (isKnown ? value : 0));
    counts.push(counts.at(-1) + (isKnown ? 1 : 0));
  }
  return values.map((value, index) => {
    if (!Number.isFinite(value)) return value;
    const side = Math.min(index, values.length - 1 - index, reach);
    const [from, to] = [index - side, index + side + 1];
    return (sums[to] - sums[from]) / (counts[to] - counts[from]);
  });
}
