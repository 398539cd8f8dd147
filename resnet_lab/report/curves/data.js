// From a chart's data to the lines that are drawn.

/** The lines of the selected networks, seeds and parts: one per run, or the mean and range over seeds. */
function lines(chart, state) {
  const selected = chart.series.filter((series) =>
    state.networks.has(series.network) && state.seeds.has(series.seed) && state.parts.has(series.part));
  const single = selected.map((series) => ({
    ...series, name: state.mean ? series.network : series.run, points: points(chart, series, state), band: false,
  })).filter((line) => line.points.length);
  const drawn = state.mean ? overSeeds(single) : single;
  const smooth = state.width > 1 ? drawn.filter((line) => line.part === "running") : [];
  return [...drawn, ...smooth.map((line) => ({ ...line, part: "smoothed", points: smoothed(line.points, state.width) }))];
}

function points(chart, series, state) {
  const values = state.measure === "loss" ? series.losses : series.errors;
  return series.steps.flatMap((step, index) => {
    const [hours, y] = [series.hours[index], values[index]];
    return y === null ? [] : [{ step, hours, x: position(chart, state.unit, step, hours), y }];
  });
}

function position(chart, unit, step, hours) {
  return { steps: step, epochs: step / chart.epoch_steps, hours }[unit];
}

/** The mean of the lines of each network and part, and their range, at the steps that all of them have. */
function overSeeds(single) {
  const groups = Map.groupBy(single, (line) => `${line.part} ${line.network}`);
  return [...groups.values()].map((members) => {
    const byStep = Map.groupBy(members.flatMap((line) => line.points), (point) => point.step);
    const shared = [...byStep.values()].filter((all) => all.length === members.length).sort(([one], [other]) => one.step - other.step);
    return { ...members[0], points: shared.map(meanPoint), band: members.length > 1 };
  }).filter((line) => line.points.length);
}

function meanPoint(all) {
  const of = (key) => all.map((point) => point[key]);
  return { step: all[0].step, hours: mean(of("hours")), x: mean(of("x")), y: mean(of("y")), low: lowest(of("y")), high: highest(of("y")) };
}

/** Centred moving average over `width` points, fewer near the ends, so that the line is not shifted. */
function smoothed(all, width) {
  return all.map((point, index) => {
    const reach = Math.min((width - 1) / 2, index, all.length - 1 - index);
    return { ...point, y: mean(all.slice(index - reach, index + reach + 1).map(({ y }) => y)) };
  });
}

/** The point of a line nearest to x, or null if x lies beyond its ends. */
function pointAt(all, x) {
  const gap = all.length > 1 ? (all.at(-1).x - all[0].x) / (all.length - 1) : 0;
  if (x < all[0].x - gap || x > all.at(-1).x + gap) return null;
  return all.reduce((best, point) => (Math.abs(point.x - x) < Math.abs(best.x - x) ? point : best));
}
