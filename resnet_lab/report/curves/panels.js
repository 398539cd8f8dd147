// Draws the panels: axes, lines, labels at their ends, the key, the guide and the tooltip.

const TOP = 26, BOTTOM = 40, LEFT = 48, KEY_ROW = 20;
const KEY = { training: "training (clean)", test: "test", running: "training, running (augmented)", smoothed: "running, smoothed", band: "range over seeds", drop: "lr drops" };

/** Draw all panels into `surface`. Returns what reading and zooming need: the panels with their scales, and the guide. */
function drawPanels(surface, chart, state, drawn, width) {
  const kinds = KINDS.filter((kind) => drawn.some((line) => line.kind === kind));
  const shown = kinds.length ? kinds : [null];
  const beside = shown.length > 1 && width >= 640;
  const size = { width: beside ? width / shown.length : width };
  size.height = Math.round(within(size.width * 0.72, 230, 400));
  const frame = frameOf(chart, state, drawn, size);
  const panels = shown.map((kind, index) => {
    const [x, y] = beside ? [index * size.width, 0] : [0, index * size.height];
    return { kind, x, y, ...drawPanel(chart, state, drawn.filter((line) => line.kind === kind), frame, kind) };
  });
  const key = drawKey(chart, state, drawn, width, (beside ? 1 : shown.length) * size.height);
  fill(surface, { width, height: key.bottom, viewBox: `0 0 ${width} ${key.bottom}` }, []);
  surface.replaceChildren(...panels.map(({ group, x, y }) => fill(group, { transform: `translate(${x} ${y})` }, [])), key.group);
  return { panels, frame, size, beside };
}

function frameOf(chart, state, drawn, size) {
  const networks = unique(chart.series.map((series) => series.network));
  const named = size.width >= 300;
  const room = named ? 26 + 7 * Math.max(...networks.map((network) => network.length)) : 16;
  const right = size.width - Math.min(room, size.width / 2);
  const { x, y, end } = ranges(drawn, state);
  const bottom = size.height - BOTTOM;
  return {
    x, y, end, named, right, bottom,
    across: scale(x, LEFT, right), down: scale(y, bottom, TOP, state.log),
    xAt: inverse(x, LEFT, right), yAt: inverse(y, bottom, TOP, state.log),
  };
}

function drawPanel(chart, state, own, frame, kind) {
  const group = svg("g");
  group.append(svg("text", { class: "head", x: LEFT, y: 15 }, kind ? `${kind} networks, ${MEASURES[state.measure]}` : ""));
  drawAxes(group, state, frame);
  const inside = svg("svg", {
    class: "inside", x: LEFT, y: TOP, width: frame.right - LEFT + 1.5, height: frame.bottom - TOP + 1.5,
    viewBox: `${LEFT} ${TOP} ${frame.right - LEFT + 1.5} ${frame.bottom - TOP + 1.5}`,
  });
  inside.append(...drops(chart, state, frame), drawLines(own, frame));
  group.append(inside);
  if (!own.length) group.append(svg("text", { x: (LEFT + frame.right) / 2, y: (TOP + frame.bottom) / 2, "text-anchor": "middle" }, "No curve is shown."));
  if (frame.named) group.append(...labels(own, frame));
  const guide = svg("g", { class: "marks" });
  group.append(guide);
  return { group, guide, own };
}

function drawAxes(group, state, frame) {
  const { x, y, right, bottom } = frame;
  const number = (bottom - TOP) / 35;
  for (const tick of state.log ? logTicks(...y, number) : ticks(...y, number)) {
    const place = frame.down(tick);
    group.append(svg("line", { class: "grid", x1: LEFT, x2: right, y1: place, y2: place }),
      svg("text", { class: "y-tick", x: LEFT - 6, y: place + 4, "text-anchor": "end" }, `${tick}`));
  }
  const unit = state.unit === "steps" && x[1] >= 2000 ? 1000 : 1;
  for (const tick of ticks(x[0] / unit, x[1] / unit, (right - LEFT) / 60)) {
    const place = frame.across(tick * unit);
    group.append(svg("line", { class: "axis", x1: place, x2: place, y1: bottom, y2: bottom + 4 }),
      svg("text", { class: "x-tick", x: place, y: bottom + 17, "text-anchor": "middle" }, `${tick}`));
  }
  group.append(svg("line", { class: "axis", x1: LEFT, x2: right, y1: bottom, y2: bottom }),
    svg("text", { x: (LEFT + right) / 2, y: bottom + 34, "text-anchor": "middle" }, unit > 1 ? "thousand steps" : state.unit));
}

function drops(chart, state, frame) {
  const shown = state.unit === "hours" ? [] : chart.drops.map((step) => position(chart, state.unit, step));
  return shown.filter((x) => x >= frame.x[0] && x <= frame.x[1]).map((x) =>
    svg("line", { class: "drop", x1: frame.across(x), x2: frame.across(x), y1: TOP, y2: frame.bottom }));
}

function drawLines(own, frame) {
  const path = (points, y) => points.map((point, index) => `${index ? "L" : "M"}${frame.across(point.x).toFixed(1)} ${frame.down(y(point)).toFixed(1)}`).join("");
  const bands = own.filter((line) => line.band && ["training", "test"].includes(line.part)).map((line) => {
    const edge = path(line.points, (point) => point.high) + path(line.points.toReversed(), (point) => point.low).replace("M", "L");
    return svg("path", { class: "band", d: `${edge}Z`, fill: line.colour });
  });
  const order = ["running", "smoothed", "test", "training"];
  const sorted = own.toSorted((one, other) => order.indexOf(one.part) - order.indexOf(other.part));
  return svg("g", { class: "ink" }, ...bands, ...sorted.map((line) => svg("path", {
    class: line.part, "data-line": `${line.name} ${line.part}`, stroke: line.colour, d: path(line.points, (point) => point.y),
  })));
}

/** The names of the networks at the right ends of their lines, with thin lines that lead to them. */
function labels(own, frame) {
  const ends = [...Map.groupBy(own, (line) => line.network)].map(([network, members]) => {
    const last = ["training", "test", "running"].map((part) => members.filter((line) => line.part === part)).find((some) => some.length);
    const visible = last.map((line) => line.points.findLast((point) => point.x <= frame.x[1]) ?? line.points[0]);
    return { network, colour: members[0].colour, y: within(frame.down(mean(visible.map(({ y }) => y))), TOP, frame.bottom) };
  });
  return apart(ends, 15, TOP + 4, frame.bottom - 4).flatMap(({ network, colour, y, from }) => [
    svg("line", { class: "leader ink", x1: frame.right + 2, x2: frame.right + 12, y1: from, y2: y, stroke: colour }),
    svg("circle", { class: "ink", cx: frame.right + 14, cy: y, r: 3.5, fill: colour }),
    svg("text", { class: "name", x: frame.right + 21, y: y + 4 }, network),
  ]);
}

/** The key below the panels, in as many rows as it needs, and the notice. */
function drawKey(chart, state, drawn, width, top) {
  const used = (entry) => drawn.some((line) => (entry === "band" ? line.band : line.part === entry)) || (entry === "drop" && state.unit !== "hours" && chart.drops.length);
  const group = svg("g", { class: "key" });
  const start = width < 640 ? 4 : LEFT;
  let [x, y] = [start, top + 12];
  for (const [entry, text] of Object.entries(KEY).filter(([name]) => used(name))) {
    const needed = 34 + 6.4 * text.length;
    if (x > start && x + needed > width) [x, y] = [start, y + KEY_ROW];
    group.append(entry === "band" ? svg("rect", { class: entry, x, y: y - 5, width: 22, height: 10, fill: "currentColor" })
      : svg("path", { class: entry, d: `M${x} ${y}h22`, stroke: "currentColor" }), svg("text", { x: x + 28, y: y + 4 }, text));
    x += needed + 12;
  }
  if (chart.notice) {
    y += KEY_ROW;
    group.append(svg("text", { class: "notice-in-chart", x: start, y: y + 4 }, chart.notice));
  }
  return { group, bottom: y + KEY_ROW / 2 + 2 };
}

/** Draw a vertical guide at x and a dot on each line. */
function drawGuide(scene, x, readings) {
  const { frame, panels } = scene;
  for (const { own, guide } of panels) {
    const place = frame.across(x);
    const dots = readings.filter(({ line, point }) => own.includes(line) && point.x >= frame.x[0] && point.x <= frame.x[1]).map(({ line, point }) =>
      svg("circle", { class: "ink", cx: frame.across(point.x), cy: frame.down(point.y), r: 3.5, fill: line.colour }));
    guide.replaceChildren(svg("line", { class: "guide", x1: place, x2: place, y1: TOP, y2: frame.bottom }), ...dots);
  }
}

/** A table of the values of one panel, beside the pointer; `columns` are the parts shown. */
function drawTip(surface, heading, rows, columns, pointer) {
  const [right, bottom] = ["width", "height"].map((side) => Number(surface.getAttribute(side)));
  const first = 24 + 7 * Math.max(...rows.map(({ name }) => name.length), 8);
  const width = first + 62 * columns.length + 8, height = 24 + 17 * (rows.length + 1);
  const x = pointer.x + 16 + width > right ? pointer.x - 16 - width : pointer.x + 16;
  const tip = svg("g", { class: "tip", transform: `translate(${Math.max(x, 0)} ${within(pointer.y - height / 2, 0, Math.max(bottom - height, 0))})` },
    svg("rect", { width, height, rx: 5 }), svg("text", { class: "head", x: 10, y: 18 }, heading));
  const row = (y, values) => values.map((text, index) => svg("text", { x: first + 62 * (index + 1), y, "text-anchor": "end" }, text));
  tip.append(...row(36, columns));
  rows.forEach(({ name, colour, values }, index) => {
    const y = 36 + 17 * (index + 1);
    tip.append(svg("circle", { class: "ink", cx: 14, cy: y - 4, r: 4, fill: colour }), svg("text", { x: 24, y }, name), ...row(y, values));
  });
  surface.append(tip);
}
