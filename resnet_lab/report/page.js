// Starts the interactive curves, closes the tables of figures, and opens them while the page is printed.

document.querySelectorAll("figure").forEach((figure, number) => {
  const data = figure.querySelector("script.chart");
  const chart = data && JSON.parse(data.textContent);
  if (chart?.series.length) explore(figure, chart, number);
});

const tables = [...document.querySelectorAll("figure details")];
tables.forEach((table) => { table.open = false; });
let closed = [];
addEventListener("beforeprint", () => {
  closed = tables.filter((table) => !table.open);
  closed.forEach((table) => { table.open = true; });
});
addEventListener("afterprint", () => closed.forEach((table) => { table.open = false; }));
