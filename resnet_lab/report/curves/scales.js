// Ranges, scales and ticks of the axes.

/** The ranges of both axes: the zoomed ones, or those of the points in view. */
function ranges(drawn, state) {
  const end = Math.max(0, ...drawn.map((line) => line.points.at(-1).x)) || 1;
  const x = state.zoom.x ?? [0, end];
  const values = drawn.filter((line) => line.part !== "smoothed").flatMap((line) => line.points)
    .filter((point) => point.x >= x[0] && point.x <= x[1]).flatMap((point) => [point.low ?? point.y, point.high ?? point.y]);
  return { x, y: state.zoom.y ?? rangeOf(values, state), end };
}

function rangeOf(values, { log, measure }) {
  const shown = log ? values.filter((value) => value > 0) : values;
  const [low, high] = shown.length ? [lowest(shown), highest(shown)] : [1, measure === "loss" ? 3 : 100];
  if (log) return [low / 1.1, high * 1.1];
  const room = Math.max(0.06 * (high - low), measure === "loss" ? 0.01 : 0.2);
  return [Math.max(0, low - room), measure === "loss" ? high + room : Math.min(100, high + room)];
}

/** A function from values in [low, high] to positions from `start` to `stop`; on a logarithmic scale, zero is at the lower end. */
function scale([low, high], start, stop, log = false) {
  const to = log ? (value) => Math.log10(Math.max(value, low / 1e3, Number.MIN_VALUE)) : (value) => value;
  return (value) => start + ((stop - start) * (to(value) - to(low))) / (to(high) - to(low));
}

/** The inverse of `scale`. */
function inverse([low, high], start, stop, log = false) {
  const part = (place) => (place - start) / (stop - start);
  return log ? (place) => low * (high / low) ** part(place) : (place) => low + (high - low) * part(place);
}

/** About `number` round numbers from low to high. */
function ticks(low, high, number) {
  const least = (high - low || 1) / Math.max(number, 1);
  const power = 10 ** Math.floor(Math.log10(least));
  const size = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= least * 0.999);
  const first = Math.ceil(low / size - 1e-9);
  return Array.from({ length: Math.floor(high / size + 1e-9) - first + 1 }, (_, index) => Number(((first + index) * size).toPrecision(12)));
}

/** 1, 2 and 5 times powers of ten from low to high, or equal steps where there would be fewer than three. */
function logTicks(low, high, number) {
  const powers = Array.from({ length: 2 + Math.ceil(Math.log10(high / low)) }, (_, index) => Math.floor(Math.log10(low)) + index);
  const round = powers.flatMap((power) => [1, 2, 5].map((factor) => Number((factor * 10 ** power).toPrecision(1))))
    .filter((value) => value >= low && value <= high);
  return round.length < 3 ? ticks(low, high, number) : round;
}

/** Move labels apart vertically to at least `gap` with the least squared moves, and keep them between top and bottom. */
function apart(labels, gap, top, bottom) {
  labels.sort((one, other) => one.y - other.y);
  const pools = [];
  labels.forEach((label, index) => {
    pools.push([label.y - index * gap]);
    while (pools.length > 1 && mean(pools.at(-2)) > mean(pools.at(-1))) pools.push([...pools.splice(-2).flat()]);
  });
  const last = Math.max(top, bottom - (labels.length - 1) * gap);
  const levels = pools.flatMap((pool) => pool.map(() => within(mean(pool), top, last)));
  return labels.map((label, index) => ({ ...label, y: levels[index] + index * gap, from: label.y }));
}
