"use strict";
// The list of images: sorting, filtering, and opening an image in the viewer.

const list = document.getElementById("image-list");
const rows = [...list.tBodies[0].rows];

const visibleRows = () => [...list.tBodies[0].rows].filter((row) => !row.hidden);
const openable = () => visibleRows().filter((row) => hasBlock(row.dataset.image));

function markRow(index) {
  for (const row of rows) {
    if (Number(row.dataset.image) === index) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  showPosition();
}

function showPosition() {
  const order = openable().map((row) => Number(row.dataset.image));
  const at = order.indexOf(state.index);
  element("position").textContent = at < 0 ? `of ${order.length}` : `${at + 1} of ${order.length}`;
  element("previous").disabled = at <= 0;
  element("next").disabled = at >= order.length - 1;
}

function openNeighbour(step) {
  const order = openable().map((row) => Number(row.dataset.image));
  const at = order.indexOf(state.index) + step;
  if (at >= 0 && at < order.length) open(order[at]);
}

function show(index) {
  if (!open(index)) return;
  viewer.scrollIntoView({ block: "nearest" });
  panels[0].canvas.focus({ preventScroll: true });
}

function compareBy(column) {
  const valueOf = (row) => row.cells[column].dataset.value;
  return (a, b) => {
    const [first, second] = [valueOf(a), valueOf(b)];
    const [x, y] = [Number(first), Number(second)];
    if (Number.isNaN(x) || Number.isNaN(y)) return first.localeCompare(second, undefined, { numeric: true });
    return x - y;
  };
}

function sortBy(button) {
  const head = button.closest("th");
  const isDown = head.getAttribute("aria-sort") === "ascending";
  for (const other of list.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", isDown ? "descending" : "ascending");
  const compare = compareBy(Number(button.dataset.column));
  list.tBodies[0].append(...rows.sort((a, b) => (isDown ? compare(b, a) : compare(a, b))));
  showPosition();
}

function filterBy(kind, buttons) {
  for (const one of buttons) one.setAttribute("aria-pressed", String(one.dataset.kind === kind));
  for (const row of rows) row.hidden = kind !== "" && row.dataset.kind !== kind;
  showPosition();
}

for (const button of list.tHead.querySelectorAll("button")) button.addEventListener("click", () => sortBy(button));
const filters = [...document.querySelectorAll(".filter button")];
for (const button of filters) button.addEventListener("click", () => filterBy(button.dataset.kind, filters));

document.addEventListener("click", (event) => {
  const target = event.target.closest(".opener, .dot");
  if (target) show(Number(target.dataset.image));
});
for (const button of list.querySelectorAll(".opener")) button.disabled = !hasBlock(button.dataset.image);

const first = openable()[0];
if (first) open(Number(first.dataset.image));
