"use strict";
// One picture of the viewer: draws the layers of one model, and describes what is under a point.

// Line, dash and fill of each layer, in pixels of the screen; the colours are those of style.css.
const STYLES = {
  truth: { colour: "--drawn", width: 1.5, dash: [] },
  prediction: { colour: "--found", width: 1.5, dash: [] },
  hits: { colour: "--hit", width: 1.75, dash: [], fill: 0.14 },
  missed: { colour: "--missed", width: 2, dash: [7, 3.5], fill: 0.14 },
  spurious: { colour: "--spurious", width: 2.25, dash: [2, 3], fill: 0.14 },
};

class Panel {
  constructor(figure, state) {
    this.figure = figure;
    this.state = state;
    this.canvas = figure.querySelector("canvas");
    this.choice = figure.querySelector("select");
    this.tip = figure.querySelector(".tip");
    this.fact = figure.querySelector(".fact");
    this.counts = figure.querySelector(".counts");
    this.chosen = [];
  }

  get model() {
    return Number(this.choice.value);
  }

  get found() {
    const image = this.state.image;
    return image && this.model >= 0 ? image.found[this.model] : null;
  }

  // The layer in which a cell is drawn, or null; "truth" and "prediction" show every cell of a side.
  layerOf(side, index) {
    const { layers, threshold, confidence } = this.state;
    if (side !== "truth" && this.found?.confidence?.[index] < confidence) return null;
    const levels = side === "truth" ? this.found?.truthLevels : this.found?.levels;
    if (levels) {
      const isHit = levels[index] > threshold;
      const layer = isHit ? "hits" : side === "truth" ? "missed" : "spurious";
      if (layers.has(layer) && !(isHit && side === "truth")) return layer;
    }
    const all = side === "truth" ? "truth" : "prediction";
    return layers.has(all) ? all : null;
  }

  cellsOf(side) {
    if (this.model < 0 || !this.state.image) return [];
    return (side === "truth" ? this.state.image.truth : this.found?.cells) || [];
  }

  // All drawn cells as {side, index, cell, layer}.
  drawn() {
    return ["truth", "prediction"].flatMap((side) =>
      this.cellsOf(side)
        .map((cell, index) => ({ side, index, cell, layer: this.layerOf(side, index) }))
        .filter((one) => one.layer),
    );
  }

  // The drawn cells that hold a point of the image, the smallest first.
  at(x, y) {
    const pen = this.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    return this.drawn()
      .filter(({ cell: { box, path } }) =>
        x >= box[0] && x < box[2] && y >= box[1] && y < box[3] && pen.isPointInPath(path, x, y))
      .sort((a, b) => a.cell.area - b.cell.area);
  }

  draw() {
    const { image } = this.state;
    const ratio = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    const height = Math.max(1, Math.round((width * image.height) / image.width));
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, width, height);
    const scale = this.place(pen);
    if (image.picture?.complete) {
      pen.imageSmoothingEnabled = scale < 3 * ratio;
      pen.drawImage(image.picture, 0, 0, image.width, image.height);
    }
    this.drawLayers(pen, scale / ratio);
    this.drawChosen(pen, scale / ratio);
    this.canvas.classList.toggle("zoomed", this.state.zoom > 1);
  }

  // Scale the canvas context to image pixels; give the number of canvas pixels per image pixel.
  place(pen) {
    const { image, zoom, centre } = this.state;
    const scale = (zoom * this.canvas.width) / image.width;
    pen.setTransform(scale, 0, 0, scale,
      this.canvas.width / 2 - scale * centre.x, this.canvas.height / 2 - scale * centre.y);
    return scale;
  }

  drawLayers(pen, scale) {
    const paths = {};
    for (const { cell, layer } of this.drawn()) {
      (paths[layer] ??= new Path2D()).addPath(cell.path);
    }
    for (const layer of Object.keys(STYLES)) {
      if (paths[layer]) this.drawPath(pen, paths[layer], STYLES[layer], scale);
    }
  }

  drawPath(pen, path, style, scale) {
    const colour = getComputedStyle(document.documentElement).getPropertyValue(style.colour);
    // Use broader lines when cells are enlarged.
    const unit = Math.min(1.4, Math.max(0.6, scale / 1.4)) / scale;
    pen.lineJoin = "round";
    if (style.fill) {
      pen.globalAlpha = style.fill;
      pen.fillStyle = colour;
      pen.fill(path);
    }
    pen.globalAlpha = 0.45;
    pen.setLineDash([]);
    pen.strokeStyle = "#000";
    pen.lineWidth = (style.width + 1.2) * unit;
    pen.stroke(path);
    pen.globalAlpha = 1;
    pen.setLineDash(style.dash.map((length) => length * unit));
    pen.strokeStyle = colour;
    pen.lineWidth = style.width * unit;
    pen.stroke(path);
    pen.setLineDash([]);
  }

  drawChosen(pen, scale) {
    for (const { cell } of this.chosen.slice(0, 1)) {
      this.drawPath(pen, cell.path, { colour: "--drawn", width: 3, dash: [], fill: 0.12 }, scale);
    }
  }

  // Select the cell under a point, if there is one, and describe it.
  choose(point) {
    this.chosen = point ? this.at(point.x, point.y) : [];
    this.say();
  }

  say() {
    const words = this.chosen.slice(0, 3).map((one) => this.describe(one));
    this.fact.textContent = words.join(" · ") || "\u00a0";
    this.tip.textContent = words.join(" · ");
    this.tip.hidden = true;
  }

  pointTip(x, y) {
    if (!this.chosen.length) return;
    this.tip.hidden = false;
    const { clientWidth, clientHeight } = this.canvas;
    const { offsetWidth, offsetHeight } = this.tip;
    this.tip.style.left = `${Math.max(0, Math.min(x + 14, clientWidth - offsetWidth))}px`;
    this.tip.style.top = `${y + 18 + offsetHeight > clientHeight ? Math.max(0, y - offsetHeight - 8) : y + 18}px`;
  }

  describe({ side, index, cell }) {
    const size = `${cell.area} px, ${(2 * Math.sqrt(cell.area / Math.PI)).toFixed(1)} px across`;
    const found = this.found;
    const sure = side !== "truth" && found?.confidence;
    const certainty = sure ? `; confidence ${(sure[index] / 1000).toFixed(2)}` : "";
    if (!found?.levels) return `cell ${index + 1}: ${size}${certainty}`;
    const [levels, iou, best] = side === "truth"
      ? [found.truthLevels, found.truthIou, found.truthBest]
      : [found.levels, found.iou, found.best];
    const what = `${side === "truth" ? "true cell" : DATA.hasTruth ? "prediction" : "cell"} ${index + 1}`;
    return `${what}, ${fate(side, levels[index], iou[index], best[index], this.state.threshold)}; ${size}${certainty}`;
  }

  count() {
    const found = this.found;
    const lacks = this.model >= 0 && this.state.image && !found;
    if (lacks) this.counts.textContent = "not in its file";
    else if (!found) this.counts.textContent = "";
    else this.counts.textContent = countCells(found, this.state);
  }
}

function countCells(found, { threshold, confidence }) {
  const isSure = (index) => !(found.confidence?.[index] < confidence);
  const all = found.cells.filter((_, index) => isSure(index)).length;
  if (!found.levels) return all === 1 ? "1 cell" : `${all} cells`;
  const hits = found.levels.filter((level, index) => level > threshold && isSure(index)).length;
  if (!found.truthLevels) return `${hits} shared, ${all - hits} alone`;
  const missed = found.truthLevels.filter((level) => level <= threshold).length;
  return `${hits} ${hits === 1 ? "hit" : "hits"}, ${missed} missed, ${all - hits} spurious`;
}

// Descriptions of a hit, of any other cell, and of a cell that overlaps nothing.
const WORDS = {
  truth: ["found", "missed", "nothing found there"],
  prediction: ["hit", "spurious", "no true cell there"],
  alone: ["shared", "alone", "nothing of the other model there"],
};

function fate(side, level, iou, best, threshold) {
  const [hit, verdict, nothing] = WORDS[DATA.hasTruth ? side : "alone"];
  if (best === 0) return `${verdict}: ${nothing}`;
  const shown = (iou / 1000).toFixed(3);
  if (level > threshold) return `${hit}, IoU ${shown}`;
  // If the IoU is large enough for a hit, the partner is matched with another cell.
  if (iou / 1000 > DATA.thresholds[threshold]) return `${verdict}: its best partner (IoU ${shown}) counts for another cell`;
  return `${verdict}: best IoU ${shown}`;
}
