"use strict";
// Elements, numbers and names that the other files of the interactive curves share. All files run as one script.

const KINDS = ["plain", "residual"];
const PARTS = ["training", "test", "running"];
const UNITS = { steps: "step", epochs: "epoch", hours: "hour" };
const MEASURES = { error: "error in %", loss: "loss" };

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function html(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

const unique = (values) => [...new Set(values)];
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const lowest = (values) => values.reduce((one, other) => Math.min(one, other), Infinity);
const highest = (values) => values.reduce((one, other) => Math.max(one, other), -Infinity);
const within = (value, low, high) => Math.min(Math.max(value, low), high);
const nearest = (values, wanted) => values.reduce((best, value) => (Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best));

function grouped(number, digits = 0) {
  return number.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** An error with its unit, or a loss. */
function reading(value, measure) {
  return measure === "loss" ? value.toPrecision(4) : `${value.toFixed(2)}\u00a0%`;
}

function swatch(colour) {
  return svg("svg", { width: 18, height: 10, class: "ink", "aria-hidden": "true" },
    svg("line", { x1: 0, x2: 18, y1: 5, y2: 5, stroke: colour, "stroke-width": 4 }));
}
