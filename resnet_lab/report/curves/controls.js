// The controls above and below the curves. Each changes the state through `update`; `sync` shows a state that came from elsewhere.

/** The controls of a chart. `update(changes, way)` applies changes; `way` is "push", "replace" or "none", for the history. */
function makeControls(chart, number, getState, update) {
  const seeds = [...defaultState(chart).seeds].sort((one, other) => one - other);
  const synced = [];

  function choice(type, name, text, isChecked, change) {
    const input = html("input", { type, name: `${name}-${number}`, value: text, change: () => change(input.checked) });
    synced.push(() => { input.checked = isChecked(getState()); });
    return html("label", {}, input, text);
  }

  const group = (title, children) => html("fieldset", {}, html("legend", {}, title), ...children);
  const radios = (key, options, extra = {}) => options.map(([text, value]) =>
    choice("radio", key, text, (state) => state[key] === value, () => update({ [key]: value, ...extra })));
  const boxes = (key, values) => values.map((value) =>
    choice("checkbox", key, `${value}`, (state) => state[key].has(value), (checked) => {
      const chosen = new Set(getState()[key]);
      if (checked) chosen.add(value);
      else chosen.delete(value);
      update({ [key]: chosen });
    }));

  const unzoomed = { at: null, zoom: { x: null, y: null } };
  const top = html("div", { class: "bar" },
    group("x axis", radios("unit", Object.keys(UNITS).map((unit) => [unit, unit]), unzoomed)),
    group("y axis", [
      ...radios("measure", Object.keys(MEASURES).map((measure) => [measure, measure]), { zoom: { x: null, y: null } }),
      choice("checkbox", "log", "log scale", (state) => state.log, (log) => update({ log, zoom: { ...getState().zoom, y: null } })),
    ]),
    group("Lines", boxes("parts", PARTS)),
    smoothing(getState, update, synced),
    ...(seeds.length > 1 ? [group("Show seeds as", radios("mean", [["mean with range", true], ["each seed", false]])), group("Seeds", boxes("seeds", seeds))] : []));
  return { top, sync: () => synced.forEach((show) => show()) };
}

function smoothing(getState, update, synced) {
  const label = html("output", {});
  const slider = html("input", {
    type: "range", min: 1, max: MOST_SMOOTH, step: 2,
    input: () => update({ width: Number(slider.value) }, "none"),
    change: () => update({ width: Number(slider.value) }, "push"),
  });
  synced.push(() => {
    const { width } = getState();
    slider.value = width;
    label.textContent = width > 1 ? `mean of ${width} points` : "none";
    slider.setAttribute("aria-valuetext", label.textContent);
  });
  return html("label", { class: "wide" }, "Smooth running error", slider, label);
}

/** Buttons of the networks: a click hides or shows one; a double click, Shift+click or Shift+Enter isolates it, or shows all again. */
function makeLegend(chart, getState, update) {
  const all = unique(chart.series.map((series) => series.network));
  const colours = new Map(chart.series.map((series) => [series.network, series.colour]));
  function choose(network, alone, way) {
    const { networks } = getState();
    const isOnly = networks.size === 1 && networks.has(network);
    const chosen = alone ? new Set(isOnly ? all : [network]) : new Set(all.filter((each) => networks.has(each) !== (each === network)));
    update({ networks: chosen }, way);
  }
  const buttons = all.map((network) => html("button", {
    type: "button",
    click: (event) => choose(network, event.shiftKey, event.detail > 1 ? "replace" : "push"),
    dblclick: () => choose(network, true, "replace"),
    keydown: (event) => {
      if (!event.shiftKey || event.key !== "Enter") return;
      event.preventDefault();
      choose(network, true);
    },
  }, swatch(colours.get(network)), network));
  const sync = () => buttons.forEach((button, index) => button.setAttribute("aria-pressed", getState().networks.has(all[index])));
  return { legend: html("div", { class: "legend", role: "group", "aria-label": "Networks" }, ...buttons), sync };
}

/** The buttons below the chart: zoom and downloads. */
function makeActions(zoomBy, reset, download) {
  const button = (text, label, click) => html("button", { type: "button", "aria-label": label, title: label, click }, text);
  const undo = button("Reset zoom", "Reset zoom", reset);
  const bar = html("div", { class: "bar actions" },
    html("span", { role: "group", "aria-label": "Zoom" }, button("+", "Zoom in", () => zoomBy(0.5)), button("\u2212", "Zoom out", () => zoomBy(2)), undo),
    html("span", { role: "group", "aria-label": "Download" }, "Download: ",
      ...["SVG", "PNG", "CSV"].map((form) => button(form, `Download ${form === "CSV" ? "the data shown" : "the picture"} as ${form}`, () => download(form)))));
  return { bar, sync: (state) => { undo.disabled = !state.zoom.x && !state.zoom.y; } };
}
