"use strict";
// The viewer: current image, layers and position; buttons, keys and pointers.

const DATA = JSON.parse(document.getElementById("report-data").textContent);
const viewer = document.getElementById("viewer");
const LARGEST_ZOOM = 16;

const state = {
  index: null,
  image: null,
  layers: new Set([...viewer.querySelectorAll('[data-layer][aria-pressed="true"]')].map((one) => one.dataset.layer)),
  threshold: 0,
  confidence: 0,
  zoom: 1,
  centre: { x: 0, y: 0 },
};
const panels = [...viewer.querySelectorAll(".panel-large")].map((figure) => new Panel(figure, state));
const element = (id) => document.getElementById(id);

function hasBlock(index) {
  return element(`image-${index}`) !== null;
}

function open(index) {
  if (!hasBlock(index)) return false;
  state.index = index;
  state.image = readImage(JSON.parse(element(`image-${index}`).textContent));
  state.zoom = 1;
  state.centre = { x: state.image.width / 2, y: state.image.height / 2 };
  const { name, cellType } = DATA.images[index];
  element("image-name").textContent = cellType ? `${name}, ${cellType}` : name;
  viewer.hidden = false;
  state.image.picture?.addEventListener("load", drawAll);
  for (const panel of panels) panel.choose(null);
  markRow(index);
  update();
  return true;
}

function update() {
  element("zoom").textContent = `${Math.round(100 * state.zoom)} %`;
  for (const panel of panels) panel.count();
  drawAll();
}

function drawAll() {
  if (state.image) for (const panel of panels) panel.draw();
}

function toggleLayer(layer) {
  const button = viewer.querySelector(`[data-layer="${layer}"]`);
  const isOn = !state.layers.delete(layer);
  if (isOn) state.layers.add(layer);
  button.setAttribute("aria-pressed", String(isOn));
  for (const panel of panels) panel.choose(null);
  drawAll();
}

function setThreshold(level) {
  state.threshold = Math.min(DATA.thresholds.length - 1, Math.max(0, level));
  element("threshold").value = state.threshold;
  element("threshold-shown").textContent = DATA.thresholds[state.threshold].toFixed(2);
  for (const panel of panels) panel.choose(null);
  update();
}

function setConfidence(percent) {
  state.confidence = 10 * percent;
  element("confidence-shown").textContent = (percent / 100).toFixed(2);
  for (const panel of panels) panel.choose(null);
  update();
}

function zoomTo(zoom, point = state.centre) {
  const before = state.zoom;
  state.zoom = Math.min(LARGEST_ZOOM, Math.max(1, zoom));
  // Keep `point` at its place on the screen.
  const share = before / state.zoom;
  moveTo(point.x + (state.centre.x - point.x) * share, point.y + (state.centre.y - point.y) * share);
  update();
}

function moveTo(x, y) {
  const { image, zoom } = state;
  const within = (value, size) => Math.min(size - size / (2 * zoom), Math.max(size / (2 * zoom), value));
  state.centre = { x: within(x, image.width), y: within(y, image.height) };
}

// From a pointer event to a point of the image.
function pointOf(panel, event) {
  const box = panel.canvas.getBoundingClientRect();
  const scale = (state.zoom * box.width) / state.image.width;
  return {
    x: state.centre.x + (event.clientX - box.left - box.width / 2) / scale,
    y: state.centre.y + (event.clientY - box.top - box.height / 2) / scale,
  };
}

function pointAt(panel, event) {
  const point = pointOf(panel, event);
  for (const one of panels) one.choose(point);
  const box = panel.canvas.getBoundingClientRect();
  panel.pointTip(event.clientX - box.left, event.clientY - box.top);
  drawAll();
}

function letGo() {
  for (const panel of panels) panel.choose(null);
  drawAll();
}

function listenToPointer(panel) {
  const canvas = panel.canvas;
  let grip = null;
  canvas.addEventListener("pointerdown", (event) => {
    grip = { x: event.clientX, y: event.clientY, centre: state.centre, isDrag: false };
    if (state.zoom > 1) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!grip || state.zoom === 1) return pointAt(panel, event);
    const [dx, dy] = [event.clientX - grip.x, event.clientY - grip.y];
    grip.isDrag ||= Math.hypot(dx, dy) > 4;
    const scale = (state.zoom * canvas.clientWidth) / state.image.width;
    moveTo(grip.centre.x - dx / scale, grip.centre.y - dy / scale);
    return drawAll();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!grip?.isDrag) pointAt(panel, event);
    grip = null;
  });
  canvas.addEventListener("pointercancel", () => { grip = null; });
  canvas.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse" && !grip) letGo(); });
  canvas.addEventListener("dblclick", (event) => zoomTo(2 * state.zoom, pointOf(panel, event)));
}

// Go to the nearest drawn cell in a direction; without a selection, to the one nearest the centre.
function stepToCell(panel, dx, dy) {
  const middle = ({ cell: { box } }) => ({ x: (box[0] + box[2]) / 2, y: (box[1] + box[3]) / 2 });
  const from = panel.chosen.length ? middle(panel.chosen[0]) : state.centre;
  let [nearest, least] = [null, Infinity];
  for (const one of panel.drawn()) {
    const { x, y } = middle(one);
    const along = (x - from.x) * dx + (y - from.y) * dy;
    const aside = Math.abs((x - from.x) * dy) + Math.abs((y - from.y) * dx);
    const cost = panel.chosen.length ? along + 2 * aside : Math.hypot(x - from.x, y - from.y);
    if ((along > 0.5 || !panel.chosen.length) && cost < least) [nearest, least] = [one, cost];
  }
  if (!nearest) return;
  const { x, y } = middle(nearest);
  for (const other of panels) other.choose(other === panel ? null : { x, y });
  panel.chosen = [nearest];
  panel.say();
  if (state.zoom > 1) moveTo(x, y);
  drawAll();
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const KEYS = {
  j: () => openNeighbour(1),
  k: () => openNeighbour(-1),
  "+": () => zoomTo(2 * state.zoom),
  "-": () => zoomTo(state.zoom / 2),
  Escape: letGo,
};
for (const button of viewer.querySelectorAll("[data-layer]")) {
  KEYS[button.getAttribute("aria-keyshortcuts")] = () => toggleLayer(button.dataset.layer);
  button.addEventListener("click", () => toggleLayer(button.dataset.layer));
}

viewer.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("select, input") && event.key !== "Escape";
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const panel = panels.find((one) => one.canvas === event.target);
  const act = panel && ARROWS[event.key] ? () => stepToCell(panel, ...ARROWS[event.key]) : KEYS[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

for (const panel of panels) {
  listenToPointer(panel);
  panel.choice.addEventListener("change", () => { panel.choose(null); update(); });
}
element("previous").addEventListener("click", () => openNeighbour(-1));
element("next").addEventListener("click", () => openNeighbour(1));
element("zoom-in").addEventListener("click", () => zoomTo(2 * state.zoom));
element("zoom-out").addEventListener("click", () => zoomTo(state.zoom / 2));
element("threshold")?.addEventListener("input", (event) => setThreshold(Number(event.target.value)));
element("confidence")?.addEventListener("input", (event) => setConfidence(Number(event.target.value)));
new ResizeObserver(drawAll).observe(viewer);
