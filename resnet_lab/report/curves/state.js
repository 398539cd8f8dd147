// What is shown, and its form in the page's address.

function defaultState(chart) {
  const seeds = unique(chart.series.map((series) => series.seed));
  return {
    unit: "steps", measure: "error", log: false, width: 1, mean: true, at: null, zoom: { x: null, y: null },
    networks: new Set(chart.series.map((series) => series.network)), seeds: new Set(seeds), parts: new Set(PARTS),
  };
}

/** The part of the address after #; empty for the default state. */
function toHash(chart, state, number) {
  const start = defaultState(chart), words = new URLSearchParams();
  for (const key of ["unit", "measure", "log", "width", "mean"]) if (state[key] !== start[key]) words.set(key, state[key]);
  for (const key of ["networks", "seeds", "parts"]) {
    for (const value of start[key]) if (!state[key].has(value)) words.append(`without-${key}`, value);
  }
  for (const key of ["x", "y"]) if (state.zoom[key]) words.set(`zoom-${key}`, state.zoom[key].join(","));
  return words.size ? `#chart=${number}&${words}` : "";
}

/** The state in an address, without values that make no sense; null if the address is about something else, such as a section. */
function fromHash(chart, hash, number) {
  const state = defaultState(chart);
  if (!hash) return state;
  const words = new URLSearchParams(hash.slice(1));
  if (words.get("chart") !== `${number}`) return null;
  if (words.get("unit") in UNITS) state.unit = words.get("unit");
  if (words.get("measure") in MEASURES) state.measure = words.get("measure");
  state.log = words.get("log") === "true";
  state.mean = words.get("mean") !== "false";
  state.width = within(2 * Math.floor(Number(words.get("width") ?? 1) / 2) + 1 || 1, 1, MOST_SMOOTH);
  for (const key of ["networks", "seeds", "parts"]) {
    const hidden = words.getAll(`without-${key}`);
    state[key] = new Set([...state[key]].filter((value) => !hidden.includes(`${value}`)));
  }
  for (const key of ["x", "y"]) {
    const [low, high] = (words.get(`zoom-${key}`) ?? "").split(",").map(Number);
    if (low < high && low >= 0 && (key === "x" || !state.log || low > 0)) state.zoom[key] = [low, high];
  }
  return state;
}

const MOST_SMOOTH = 51;
