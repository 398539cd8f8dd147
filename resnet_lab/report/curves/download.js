// Saves what is shown, as SVG, PNG or CSV. The page's policy allows no images, so the PNG is painted element by element.

const COPIED = [
  "fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin",
  "font-family", "font-size", "font-weight", "text-anchor",
];

function save(name, content, type) {
  const url = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], { type }));
  html("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Call `work` while the chart has the colours of the light page, also in dark mode. */
function inLight(view, work) {
  view.classList.add("in-light");
  try {
    return work();
  } finally {
    view.classList.remove("in-light");
  }
}

/** The chart as an SVG file with all styles in attributes, on white. */
function toSvg(view, surface) {
  return inLight(view, () => {
    const copy = surface.cloneNode(true);
    const originals = [surface, ...surface.querySelectorAll("*")], copies = [copy, ...copy.querySelectorAll("*")];
    originals.forEach((original, index) => {
      const style = getComputedStyle(original);
      for (const name of COPIED) copies[index].setAttribute(name, style.getPropertyValue(name));
    });
    for (const name of ["tabindex", "role", ...surface.getAttributeNames().filter((each) => each.startsWith("aria-"))]) copy.removeAttribute(name);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    copy.prepend(svg("rect", { width: "100%", height: "100%", fill: "#fff" }));
    return new XMLSerializer().serializeToString(copy);
  });
}

/** The chart painted on a canvas at `zoom` pixels per unit. */
function toCanvas(view, surface, zoom = 2) {
  const [width, height] = ["width", "height"].map((side) => zoom * surface.getAttribute(side));
  const canvas = html("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.scale(zoom, zoom);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  inLight(view, () => [...surface.children].forEach((child) => paint(context, child)));
  return canvas;
}

function paint(context, element) {
  const number = (name) => Number(element.getAttribute(name));
  context.save();
  const moved = element.transform?.baseVal.consolidate()?.matrix;
  if (moved) context.translate(moved.e, moved.f);
  if (element.localName === "svg") {
    context.beginPath();
    context.rect(number("x"), number("y"), number("width"), number("height"));
    context.clip();
  }
  const style = getComputedStyle(element);
  if (element.localName === "text") {
    context.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    context.textAlign = { start: "left", middle: "center", end: "right" }[style.textAnchor];
    context.fillStyle = style.fill;
    context.fillText(element.textContent, number("x"), number("y"));
  } else {
    paintShape(context, shape(element, number), style);
    for (const child of element.children) paint(context, child);
  }
  context.restore();
}

function shape(element, number) {
  const path = new Path2D(element.getAttribute("d") ?? "");
  if (element.localName === "line") {
    path.moveTo(number("x1"), number("y1"));
    path.lineTo(number("x2"), number("y2"));
  }
  if (element.localName === "circle") path.arc(number("cx"), number("cy"), number("r"), 0, 2 * Math.PI);
  if (element.localName === "rect") path.rect(number("x"), number("y"), number("width"), number("height"));
  return path;
}

function paintShape(context, path, style) {
  if (style.fill !== "none") {
    context.globalAlpha = Number(style.fillOpacity);
    context.fillStyle = style.fill;
    context.fill(path);
  }
  if (style.stroke !== "none") {
    context.globalAlpha = Number(style.strokeOpacity);
    context.strokeStyle = style.stroke;
    context.lineWidth = parseFloat(style.strokeWidth);
    context.lineCap = style.strokeLinecap;
    context.lineJoin = style.strokeLinejoin;
    context.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(",").map(parseFloat));
    context.stroke(path);
  }
}

/** The points in view as CSV, with the range over seeds where lines are means. */
function toCsv(chart, state, drawn, [start, end]) {
  const quoted = (value) => (/[",\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : value);
  const unit = state.measure === "loss" ? "loss" : "error_percent";
  const rows = drawn.flatMap((line) => line.points.filter(({ x }) => x >= start && x <= end).map((point) =>
    [line.name, line.part, point.step, Number((point.step / chart.epoch_steps).toPrecision(8)), point.hours, point.y, point.low ?? "", point.high ?? ""]));
  return [["name", "series", "step", "epoch", "hours", unit, "lowest", "highest"], ...rows].map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
}
