// Starts the interactive curves, closes the tables of figures, opens folded sections for links and for print, and copies commands.

document.querySelectorAll("figure").forEach((figure, number) => {
  const data = figure.querySelector("script.chart");
  const chart = data && JSON.parse(data.textContent);
  if (chart?.series.length) explore(figure, chart, number);
});

document.querySelectorAll("figure details").forEach((table) => { table.open = false; });

if (navigator.clipboard) document.querySelectorAll("td > code").forEach((code) => { // a page over http has no clipboard
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
