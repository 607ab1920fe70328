"use strict";
// Sorting, filtering and choosing of layers; colours of plots by those of the page.
const onnxqLayers = JSON.parse(document.getElementById("layers-data").textContent);
const onnxqTable = document.getElementById("layers");
const onnxqRows = [...onnxqTable.tBodies[0].rows];

function onnxqDocument() {
  return (window.Bokeh?.documents ?? [])[0];
}

function onnxqSort(column, kind, ascending) {
  const key = (row) => row.cells[column].dataset.value;
  const sorted = [...onnxqRows].sort((a, b) => {
    const [one, two] = [key(a), key(b)];
    if (one === "" || two === "") return (one === "") - (two === ""); // unknown values are last, either way
    const order = kind === "number" ? Number(one) - Number(two) : one.localeCompare(two);
    return ascending ? order : -order;
  });
  onnxqTable.tBodies[0].append(...sorted);
}

onnxqTable.querySelectorAll("th").forEach((head, column) => {
  head.querySelector("button").addEventListener("click", () => {
    const ascending = head.ariaSort !== "ascending";
    onnxqTable.querySelectorAll("th").forEach((other) => { other.ariaSort = null; });
    head.ariaSort = ascending ? "ascending" : "descending";
    onnxqSort(column, head.dataset.kind, ascending);
  });
});

function onnxqFilter() {
  const words = document.getElementById("filter").value.toLowerCase().split(/\s+/);
  let shown = 0;
  for (const row of onnxqRows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  document.getElementById("count").textContent = `${shown} of ${onnxqRows.length} layers`;
}
document.getElementById("filter").addEventListener("input", onnxqFilter);
onnxqFilter();

function onnxqBars(histogram, least) {
  const bars = { left: [], right: [], top: [] };
  if (histogram === null) return bars;
  const width = (histogram.high - histogram.low) / histogram.shares.length;
  histogram.shares.forEach((share, bin) => {
    if (share < least) return;
    bars.left.push(histogram.low + bin * width);
    bars.right.push(histogram.low + (bin + 1) * width);
    bars.top.push(share);
  });
  return bars;
}

function onnxqChoose(number, scrolls) {
  const plots = onnxqDocument();
  if (!plots || !onnxqLayers[number]) return;
  for (const row of onnxqRows) {
    const chosen = Number(row.dataset.number) === number;
    row.ariaCurrent = chosen ? "true" : null;
    if (chosen && scrolls) row.scrollIntoView({ block: "nearest" });
  }
  document.getElementById("chosen").textContent = onnxqLayers[number].name;
  const points = plots.get_model_by_name("layers").selected;
  if (points.indices.length !== 1 || points.indices[0] !== number) points.indices = [number];
  for (const kind of ["weight", "read"]) {
    const seen = onnxqLayers[number][kind];
    for (const part of ["exact", "quantized"]) {
      const source = plots.get_model_by_name(`${kind}-${part}`);
      if (source) source.data = onnxqBars(seen[part], 1e-6);
    }
    const ends = [seen.exact, seen.quantized].filter((own) => own).flatMap((own) => [own.low, own.high]).concat(seen.range);
    const [low, high] = ends.length ? [Math.min(...ends), Math.max(...ends)] : [0, 1];
    const margin = (high - low) / 30 || 1;
    plots.get_model_by_name(`${kind}-ends`).setv({ start: low - margin, end: high + margin });
    plots.get_model_by_name(`${kind}-levels`).data = { at: seen.levels };
    plots.get_model_by_name(`${kind}-range`).data = { at: seen.range };
  }
}

onnxqTable.tBodies[0].addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (row) onnxqChoose(Number(row.dataset.number), false);
});

const onnxqDark = matchMedia("(prefers-color-scheme: dark)");
function onnxqColour() {
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map((name) => style.getPropertyValue(name).trim());
  const plots = onnxqDocument();
  for (let number = 0, model; plots && (model = plots.get_model_by_name(`themed-${number}`)); number += 1) {
    if (model.type.endsWith("Axis")) {
      model.setv({ axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: line,
        major_tick_line_color: line, minor_tick_line_color: null });
    } else if (model.type === "Grid") {
      model.grid_line_color = line;
    } else if (model.type === "Legend") {
      model.label_text_color = ink;
    }
  }
}
onnxqDark.addEventListener("change", onnxqColour);

(function start(tries) {
  const plots = onnxqDocument();
  if (!plots || !plots.get_model_by_name("weight-range")) {
    if (tries) setTimeout(start, 20, tries - 1);
    else document.getElementById("chosen").textContent = "The plots cannot be drawn in this browser.";
    return;
  }
  onnxqColour();
  onnxqChoose(0, false);
  document.documentElement.dataset.ready = "true";
})(1500);
