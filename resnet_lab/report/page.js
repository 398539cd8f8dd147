"use strict";
// Replaces every static figure that has its data beside it as JSON by an interactive chart.

(() => {
  const KINDS = ["plain", "residual"];
  const PARTS = ["training", "test"];
  const UNITS = { steps: "step", epochs: "epoch", hours: "hour" };
  const TOP = 26, BOTTOM = 40, LEFT = 44;

  const fill = (element, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (typeof value === "function") element.addEventListener(name, value);
      else if (value !== false) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  };
  const html = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
  const svg = (name, attributes = {}, ...children) =>
    fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

  const unique = (values) => [...new Set(values)];
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const nearest = (values, wanted) => values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best));
  const grouped = (number, digits = 0) => number.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const percent = (value) => `${value.toFixed(2)}\u00a0%`;

  /** Tick positions: about `number` round numbers from low to high. */
  function ticks(low, high, number) {
    const least = (high - low || 1) / number;
    const power = 10 ** Math.floor(Math.log10(least));
    const size = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= least * 0.999);
    const first = Math.ceil(low / size - 1e-9);
    return Array.from({ length: Math.floor(high / size + 1e-9) - first + 1 }, (_, index) => Number(((first + index) * size).toPrecision(12)));
  }

  /** Trailing moving average over `width` points. */
  function smoothed(points, width) {
    return points.map((point, index) => ({ ...point, y: mean(points.slice(Math.max(0, index - width + 1), index + 1).map(({ y }) => y)) }));
  }

  /** The lines to draw: one per run, or the mean and range over seeds at the steps that all of them have. */
  function lines(chart, state) {
    const x = (step, hours) => ({ steps: step, epochs: step / chart.epoch_steps, hours })[state.unit];
    const selected = chart.series.filter((series) => state.networks.has(series.network) && state.seeds.has(series.seed));
    const single = selected.map((series) => {
      const points = series.steps.map((step, index) => ({ step, x: x(step, series.hours[index]), y: series.values[index] }));
      const name = state.mean || chart.single ? series.network : series.run;
      return { ...series, name, points: series.part === "training" ? smoothed(points, state.width) : points };
    });
    if (!state.mean) return single;
    return unique(single.map((line) => `${line.network} ${line.part}`)).map((key) => {
      const members = single.filter((line) => `${line.network} ${line.part}` === key);
      const byStep = new Map();
      for (const { points } of members) for (const point of points) byStep.set(point.step, [...(byStep.get(point.step) ?? []), point]);
      const shared = [...byStep].filter(([, points]) => points.length === members.length).sort(([one], [other]) => one - other);
      const points = shared.map(([step, all]) => {
        const values = all.map((point) => point.y);
        return { step, x: mean(all.map((point) => point.x)), y: mean(values), low: Math.min(...values), high: Math.max(...values) };
      });
      return { ...members[0], points, band: members.length > 1 };
    }).filter((line) => line.points.length);
  }

  /** Move labels apart vertically to at least `gap`, keeping them inside the panel. */
  function apart(labels, gap, top, bottom) {
    labels.sort((one, other) => one.y - other.y);
    labels.forEach((label, index) => { label.y = Math.max(label.y, index ? labels[index - 1].y + gap : top); });
    labels.toReversed().forEach((label, index, all) => { label.y = Math.min(label.y, index ? all[index - 1].y - gap : bottom); });
    return labels;
  }

  function path(points, place) {
    return points.map((point, index) => `${index ? "L" : "M"}${place(point).map((number) => number.toFixed(1)).join(" ")}`).join("");
  }

  const swatch = (colour) => svg("svg", { width: 18, height: 10, class: "ink", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 18, y1: 5, y2: 5, stroke: colour, "stroke-width": 4 }));

  function explore(figure, chart, number) {
    const fixed = figure.querySelector(".static");
    const networks = unique(chart.series.map((series) => series.network));
    const seeds = unique(chart.series.map((series) => series.seed)).sort((one, other) => one - other);
    chart.single = seeds.length < 2;
    const colours = new Map(chart.series.map((series) => [series.network, series.colour]));
    const state = { unit: "steps", width: 1, mean: seeds.length > 1, networks: new Set(networks), seeds: new Set(seeds), at: null };
    let scene = null;

    const view = html("div", { class: "view" });
    const readout = html("div", { class: "readout", "aria-live": "polite", role: "status" });
    const surface = svg("svg", {
      tabindex: 0, role: "slider", "aria-label": "Position at which the curves are read", "aria-orientation": "horizontal",
      pointermove: (event) => point(event),
      pointerdown: (event) => point(event),
      pointerleave: (event) => event.pointerType === "mouse" && read(null),
      keydown: (event) => step(event),
    });
    view.append(surface);

    const legend = networks.map((network) => html("button", {
      type: "button", "aria-pressed": "true",
      click: (event) => choose(network, event.shiftKey),
      dblclick: () => choose(network, true),
      keydown: (event) => {
        if (!event.shiftKey || event.key !== "Enter") return;
        event.preventDefault();
        choose(network, true);
      },
    }, swatch(colours.get(network)), network));
    const live = html("div", { class: "live", role: "group", "aria-label": fixed.getAttribute("aria-label") },
      controls(), html("div", { class: "legend", role: "group", "aria-label": "Networks" }, ...legend),
      html("p", { class: "hint" }, "Thin and dashed: training. Bold: test. Values are those of the nearest record. Click a network to hide or show it. Double-click, Shift+click or Shift+Enter to isolate it; repeat to show all."),
      view, readout, ...(chart.note ? [html("p", { class: "hint note" }, chart.note)] : []));
    const swap = html("button", { type: "button", "aria-pressed": "false", click: () => show(fixed.hidden) }, "Static figure");
    fixed.before(html("div", { class: "bar swap" }, swap));
    fixed.after(live);

    function choice(type, name, text, checked, change) {
      return html("label", {}, html("input", { type, name: `${name}-${number}`, value: text, checked, change }), text);
    }

    function controls() {
      const update = (changes) => () => draw(Object.assign(state, changes));
      const label = html("output", {}, "none");
      const slider = html("input", {
        type: "range", min: 1, max: 50, value: 1, "aria-valuetext": "none",
        input: () => {
          state.width = Number(slider.value);
          label.textContent = state.width > 1 ? `mean of the last ${state.width} points` : "none";
          slider.setAttribute("aria-valuetext", label.textContent);
          draw();
        },
      });
      const units = Object.keys(UNITS).map((unit) => choice("radio", "unit", unit, unit === "steps", update({ unit, at: null })));
      const modes = [["mean with range", true], ["each seed", false]].map(([text, value]) => choice("radio", "way", text, value, update({ mean: value })));
      const boxes = seeds.map((seed) => choice("checkbox", "seed", `${seed}`, true, (event) => {
        if (event.target.checked) state.seeds.add(seed);
        else state.seeds.delete(seed);
        draw();
      }));
      const set = (title, children) => html("fieldset", {}, html("legend", {}, title), ...children);
      return html("div", { class: "bar" }, set("x axis", units),
        html("label", { class: "wide" }, "Smoothing of training", slider, label),
        ...(seeds.length > 1 ? [set("Seeds as", modes), set("Seeds", boxes)] : []));
    }

    function choose(network, alone) {
      const only = state.networks.size === 1 && state.networks.has(network);
      if (alone) state.networks = new Set(only ? networks : [network]);
      else if (!state.networks.delete(network)) state.networks.add(network);
      legend.forEach((button, index) => button.setAttribute("aria-pressed", state.networks.has(networks[index])));
      draw();
    }

    function show(stillFigure) {
      live.hidden = stillFigure;
      fixed.hidden = !stillFigure;
      swap.setAttribute("aria-pressed", stillFigure);
      if (!stillFigure) draw();
    }

    function draw() {
      const drawn = lines(chart, state);
      const width = Math.max(view.clientWidth, 240);
      const beside = width >= 640;
      const panel = { width: beside ? width / 2 : width, height: Math.round(Math.min(Math.max((beside ? width / 2 : width) * 0.72, 230), 400)) };
      const named = panel.width >= 340;
      const right = named ? 20 + 7 * Math.max(...networks.map((network) => network.length)) : 16;
      const ys = lines(chart, { ...state, width: 1 }).flatMap((line) => line.points.flatMap((point) => (line.band ? [point.low, point.high] : [point.y])));
      const lowest = ys.length ? ys.reduce((one, other) => Math.min(one, other)) : 0;
      const highest = ys.length ? ys.reduce((one, other) => Math.max(one, other)) : 100;
      const room = Math.max(0.06 * (highest - lowest), 0.5);
      const [low, high] = [Math.max(0, lowest - room), Math.min(100, highest + room)];
      const end = drawn.reduce((most, line) => Math.max(most, line.points.at(-1).x), 0) || 1;
      const scale = state.unit === "steps" && end >= 2000 ? 1000 : 1;
      const across = panel.width - LEFT - right, down = panel.height - TOP - BOTTOM;
      const place = (point, y = point.y) => [LEFT + (across * point.x) / end, TOP + (down * (high - y)) / (high - low)];
      const height = beside ? panel.height : 2 * panel.height;
      fill(surface, { width, height, viewBox: `0 0 ${width} ${height}` }, []);

      const panels = KINDS.map((kind, index) => {
        const own = drawn.filter((line) => line.kind === kind);
        const group = svg("g", { transform: beside ? `translate(${index * panel.width} 0)` : `translate(0 ${index * panel.height})` });
        group.append(svg("text", { class: "head", x: LEFT, y: 15 }, `${kind} networks, error in %`));
        for (const tick of ticks(low, high, down / 35)) {
          const y = place({ x: 0 }, tick)[1];
          group.append(svg("line", { class: "grid", x1: LEFT, x2: LEFT + across, y1: y, y2: y }),
            svg("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, `${tick}`));
        }
        for (const tick of ticks(0, end / scale, across / 55)) {
          const x = place({ x: tick * scale }, low)[0];
          group.append(svg("line", { class: "axis", x1: x, x2: x, y1: TOP + down, y2: TOP + down + 4 }),
            svg("text", { x, y: TOP + down + 17, "text-anchor": "middle" }, `${tick}`));
        }
        group.append(svg("line", { class: "axis", x1: LEFT, x2: LEFT + across, y1: TOP + down, y2: TOP + down }),
          svg("text", { x: LEFT + across / 2, y: TOP + down + 34, "text-anchor": "middle" }, scale > 1 ? "thousand steps" : state.unit));
        for (const drop of state.unit === "hours" ? [] : chart.drops) {
          const x = place({ x: state.unit === "steps" ? drop : drop / chart.epoch_steps }, low)[0];
          if (x <= LEFT + across) group.append(svg("line", { class: "drop", x1: x, x2: x, y1: TOP, y2: TOP + down }));
        }
        if (!own.length) group.append(svg("text", { x: LEFT + across / 2, y: TOP + down / 2, "text-anchor": "middle" }, `no ${kind} run shown`));
        const ink = svg("g", { class: "ink" });
        for (const line of own) {
          if (!line.band) continue;
          const edge = path(line.points, (point) => place(point, point.high)) + path(line.points.toReversed(), (point) => place(point, point.low)).replace("M", "L");
          ink.append(svg("path", { class: "band", d: `${edge}Z`, fill: line.colour }));
        }
        for (const line of own) {
          ink.append(svg("path", { class: line.part, "data-line": `${line.name} ${line.part}`, d: path(line.points, (point) => place(point)), stroke: line.colour }));
        }
        group.append(ink);
        if (named) {
          const tests = unique(own.filter((line) => line.part === "test").map((line) => line.network)).map((network) => ({
            network, y: mean(own.filter((line) => line.network === network && line.part === "test").map((line) => place(line.points.at(-1))[1])),
          }));
          for (const { network, y } of apart(tests, 15, TOP + 4, TOP + down - 4)) {
            group.append(svg("circle", { class: "ink", cx: LEFT + across + 8, cy: y, r: 3.5, fill: colours.get(network) }),
              svg("text", { class: "name", x: LEFT + across + 15, y: y + 4 }, network));
          }
        }
        const guide = svg("g", { class: "marks" });
        group.append(guide);
        return { kind, group, guide };
      });
      surface.replaceChildren(...panels.map(({ group }) => group));

      const most = drawn.reduce((best, line) => (line.points.length > best.length ? line.points : best), []);
      const stops = unique((state.unit === "hours" ? most : drawn.flatMap((line) => line.points)).map(({ x }) => x)).sort((one, other) => one - other);
      const mark = (at, readings) => {
        for (const { kind, guide } of panels) {
          const x = place({ x: at }, low)[0];
          const dots = readings.filter(({ line }) => line.kind === kind).map(({ line, point }) => {
            const [cx, cy] = place(point);
            return svg("circle", { class: "ink", cx, cy, r: 3.5, fill: line.colour });
          });
          guide.replaceChildren(svg("line", { class: "guide", x1: x, x2: x, y1: TOP, y2: TOP + down }), ...dots);
        }
      };
      const clear = () => panels.forEach(({ guide }) => guide.replaceChildren());
      const invert = (x) => (((beside ? x % panel.width : x) - LEFT) / across) * end;
      scene = { lines: drawn, stops, mark, clear, invert };
      read(state.at);
    }

    /** Show the values at the stop nearest to `at`; if it is null, those at the last stop, without a guide. */
    function read(at) {
      const { lines: drawn, stops } = scene;
      const stop = at === null || !stops.length ? (stops.at(-1) ?? 0) : nearest(stops, at);
      state.at = at === null || !stops.length ? null : stop;
      const readings = drawn.map((line) => ({ line, point: nearestPoint(line.points, stop) })).filter(({ point }) => point);
      if (state.at === null) scene.clear();
      else scene.mark(stop, readings);
      const position = state.unit === "steps" ? grouped(stop) : grouped(stop, 2);
      const suffix = state.mean && state.seeds.size > 1 ? ", mean over seeds" : "";
      const heading = readings.length ? `${UNITS[state.unit]} ${position}${suffix}` : "No curve is shown.";
      const spans = unique(readings.map(({ line }) => line.name)).map((name) => {
        const own = readings.filter(({ line }) => line.name === name);
        const values = PARTS.flatMap((part) => own.filter(({ line }) => line.part === part).map(({ point }) => `${part} ${percent(point.y)}`));
        return html("span", { class: "reading" }, swatch(own[0].line.colour), `${name}: ${values.join(", ")}. `);
      });
      readout.replaceChildren(html("span", { class: "at" }, heading), ...spans);
      const bounds = { "aria-valuemin": stops[0] ?? 0, "aria-valuemax": stops.at(-1) ?? 0, "aria-valuenow": stop, "aria-valuetext": heading };
      fill(surface, bounds, []);
    }

    /** The point nearest to x, or null if x lies beyond the ends of the line. */
    function nearestPoint(points, x) {
      const gap = points.length > 1 ? (points.at(-1).x - points[0].x) / (points.length - 1) : 0;
      if (x < points[0].x - gap || x > points.at(-1).x + gap) return null;
      return points.reduce((best, point) => (Math.abs(point.x - x) < Math.abs(best.x - x) ? point : best));
    }

    function point(event) {
      read(scene.invert(event.clientX - surface.getBoundingClientRect().left));
    }

    function step(event) {
      const { stops } = scene;
      const now = stops.indexOf(state.at ?? stops.at(-1));
      const leap = Math.max(1, Math.round(stops.length / 10));
      const next = {
        ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1,
        PageUp: now + leap, PageDown: now - leap, Home: 0, End: stops.length - 1, Escape: null,
      }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      read(next === null ? null : stops[Math.min(Math.max(next, 0), stops.length - 1)]);
    }

    show(false);
    new ResizeObserver(() => live.hidden || view.clientWidth === Number(surface.getAttribute("width")) || draw()).observe(view);
  }

  document.querySelectorAll("figure").forEach((figure, number) => {
    const data = figure.querySelector("script.chart");
    const chart = data && JSON.parse(data.textContent);
    if (chart?.series.length) explore(figure, chart, number);
  });

  document.querySelectorAll("figure details").forEach((table) => { table.open = false; });

  document.querySelectorAll("td > code").forEach((code) => {
    const copy = html("button", {
      type: "button", class: "copy",
      click: async () => {
        await navigator.clipboard.writeText(code.textContent);
        copy.textContent = "copied";
      },
    }, "copy");
    code.after(copy);
  });

  const folded = [...document.querySelectorAll("details.folded")];
  const unfold = () => folded.forEach((section) => {
    if (section.querySelector(`[id="${CSS.escape(location.hash.slice(1))}"]`)) section.open = true;
  });
  addEventListener("hashchange", unfold);
  unfold();
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = folded.filter((section) => !section.open);
    closed.forEach((section) => { section.open = true; });
  });
  addEventListener("afterprint", () => closed.forEach((section) => { section.open = false; }));
})();
