// Joins data, drawing and controls into an interactive chart beside a static figure.

const HINT = "Drag in the chart to zoom, double-click to reset. With the keyboard: arrows move, + and \u2212 zoom, 0 resets. Click a network to hide or show it; double-click, Shift+click or Shift+Enter to isolate it, and again to show all.";

function explore(figure, chart, number) {
  const fixed = figure.querySelector(".static");
  let state = fromHash(chart, location.hash, number) ?? defaultState(chart);
  let scene = null, drawn = [];
  const view = html("div", { class: "view" });
  const readout = html("div", { class: "readout", "aria-live": "polite", role: "status" });
  const surface = svg("svg", {
    tabindex: 0, role: "slider", "aria-label": "Position at which the curves are read", "aria-orientation": "horizontal",
    keydown: (event) => onKey(event),
  });
  view.append(surface);
  const getState = () => state;
  const controls = makeControls(chart, number, getState, update);
  const legend = makeLegend(chart, getState, update);
  const actions = makeActions(zoomBy, reset, download);
  const live = html("div", { class: "live", role: "group", "aria-label": fixed.getAttribute("aria-label") },
    controls.top, legend.legend, view, actions.bar, readout,
    html("p", { class: "hint" }, HINT), ...(chart.note ? [html("p", { class: "hint note" }, chart.note)] : []));
  const swap = html("button", { type: "button", "aria-pressed": "false", click: () => show(fixed.hidden) }, "Static figure");
  fixed.before(html("div", { class: "bar swap" }, swap));
  fixed.after(live);

  function update(changes, way = "push") {
    state = { ...state, ...changes };
    state.zoom = { x: rounded(state.zoom.x), y: rounded(state.zoom.y) };
    const url = `${location.pathname}${location.search}${toHash(chart, state, number)}`;
    if (way !== "none" && url !== `${location.pathname}${location.search}${location.hash}`) history[`${way}State`](null, "", url);
    draw();
  }

  /** A range in as few digits as the address needs. */
  function rounded(range) {
    return range && range.map((value) => Number(value.toPrecision(6)));
  }

  function show(stillFigure) {
    live.hidden = stillFigure;
    fixed.hidden = !stillFigure;
    swap.setAttribute("aria-pressed", stillFigure);
    if (!stillFigure) draw();
  }

  function draw() {
    drawn = lines(chart, state);
    scene = drawPanels(surface, chart, state, drawn, Math.max(view.clientWidth, 240));
    scene.stops = unique(stopLines().flatMap((line) => line.points).map(({ x }) => x)).sort((one, other) => one - other);
    for (const { sync } of [controls, legend, actions]) sync(state);
    read(state.at);
  }

  /** The lines at whose points the chart is read; times differ between runs, so those of the longest line are used. */
  function stopLines() {
    if (state.unit !== "hours" || !drawn.length) return drawn;
    return [drawn.reduce((best, line) => (line.points.length > best.points.length ? line : best))];
  }

  /** Show the values at the stop nearest to `at`, with a tooltip at the pointer if there is one; null: those at the last stop. */
  function read(at, pointer = null) {
    const { stops } = scene;
    const isIdle = at === null || !stops.length;
    const stop = isIdle ? (stops.at(-1) ?? 0) : nearest(stops, at);
    state.at = isIdle ? null : stop;
    const readings = drawn.map((line) => ({ line, point: pointAt(line.points, stop) })).filter(({ point }) => point);
    surface.querySelector(".tip")?.remove();
    if (isIdle) scene.panels.forEach(({ guide }) => guide.replaceChildren());
    else drawGuide(scene, stop, readings);
    const place = `${UNITS[state.unit]} ${state.unit === "steps" ? grouped(stop) : grouped(stop, 2)}`;
    if (pointer && !isIdle) drawTip(surface, place, tipRows(readings.filter(({ line }) => pointer.panel.own.includes(line))), shownParts(), pointer);
    const heading = readings.length ? `${place}${drawn.some((line) => line.band) ? ", mean over seeds" : ""}` : "No curve is shown.";
    const spans = rowsOf(readings).map(({ name, colour, values }) => html("span", { class: "reading" }, swatch(colour),
      `${name}: ${Object.entries(values).map(([part, y]) => `${part} ${reading(y, state.measure)}`).join(", ")}. `));
    readout.replaceChildren(html("span", { class: "at" }, heading), ...spans);
    const bounds = { "aria-valuemin": stops[0] ?? 0, "aria-valuemax": stops.at(-1) ?? 0, "aria-valuenow": stop, "aria-valuetext": heading };
    fill(surface, bounds, []);
  }

  const shownParts = () => PARTS.filter((part) => state.parts.has(part));

  /** The values of each network or run by part. */
  function rowsOf(readings) {
    const groups = Map.groupBy(readings.filter(({ line }) => line.part !== "smoothed"), ({ line }) => line.name);
    return [...groups].map(([name, own]) => ({
      name, colour: own[0].line.colour,
      values: Object.fromEntries(PARTS.flatMap((part) => own.filter(({ line }) => line.part === part).map(({ point }) => [part, point.y]))),
    }));
  }

  function tipRows(readings) {
    return rowsOf(readings).sort((one, other) => Object.values(other.values)[0] - Object.values(one.values)[0]).map((row) => ({
      ...row, values: shownParts().map((part) => (part in row.values ? reading(row.values[part], state.measure) : "\u2013")),
    }));
  }

  /** Zoom the horizontal axis by a factor around the position that is read, or the middle. */
  function zoomBy(factor) {
    const { x: [low, high], end } = scene.frame;
    const middle = within(state.at ?? (low + high) / 2, low, high);
    const width = Math.min((high - low) * factor, end);
    const start = within(middle - (width * (middle - low)) / (high - low), 0, end - width);
    update({ zoom: { x: width >= end ? null : [start, start + width], y: factor > 1 ? null : state.zoom.y } });
  }

  function reset() {
    update({ zoom: { x: null, y: null } });
  }

  function onKey(event) {
    const { stops } = scene;
    const now = stops.indexOf(state.at ?? stops.at(-1));
    const leap = Math.max(1, Math.round(stops.length / 10));
    const next = {
      ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1,
      PageUp: now + leap, PageDown: now - leap, Home: 0, End: stops.length - 1, Escape: null,
    }[event.key];
    const zoom = { "+": () => zoomBy(0.5), "=": () => zoomBy(0.5), "-": () => zoomBy(2), "0": reset }[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey || (next === undefined && !zoom)) return;
    event.preventDefault();
    if (zoom) zoom();
    else if (next === null || !stops.length) read(null);
    else reveal(stops[within(next, 0, stops.length - 1)]);
  }

  /** Read at a stop, and move a zoomed view so that it is visible. */
  function reveal(stop) {
    const { x: [low, high] } = scene.frame;
    const moved = stop < low ? stop - low : stop > high ? stop - high : 0;
    state.at = stop;
    if (moved) update({ zoom: { ...state.zoom, x: [low + moved, high + moved] } }, "replace");
    else read(stop);
  }

  function download(form) {
    if (form === "CSV") save("curves.csv", toCsv(chart, state, drawn, scene.frame.x), "text/csv");
    else if (form === "SVG") save("curves.svg", toSvg(view, surface), "image/svg+xml");
    else toCanvas(view, surface).toBlob((blob) => save("curves.png", blob));
  }

  followPointer(surface, () => scene, read, (zoom) => update({ zoom }), reset);
  show(false);
  if (toHash(chart, state, number)) figure.scrollIntoView();
  addEventListener("popstate", () => {
    const restored = fromHash(chart, location.hash, number);
    if (restored) state = restored;
    if (restored && !live.hidden) draw();
  });
  new ResizeObserver(() => live.hidden || view.clientWidth === Number(surface.getAttribute("width")) || draw()).observe(view);
}
