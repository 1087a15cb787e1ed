"use strict";
// Decode packed cells and numbers of the page's data to paths and arrays; packing.py has the format.

const MOVES = [[1, 0], [0, 1], [-1, 0], [0, -1]];

function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

class Varints {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  next() {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes[this.at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
  }

  nextSigned() {
    const zigzag = this.next();
    return zigzag % 2 ? -(zigzag + 1) / 2 : zigzag / 2;
  }
}

function readNumbers(text) {
  const numbers = new Varints(bytesOf(text));
  const values = [];
  while (numbers.at < numbers.bytes.length) values.push(numbers.next());
  return values;
}

// Give every cell as {path, area, box: [left, top, right, bottom]} in pixels of the image.
function readCells(text) {
  const numbers = new Varints(bytesOf(text));
  const loopsOfCells = [];
  let [x, y] = [0, 0];
  for (let left = numbers.next(); left > 0; left--) {
    const loops = [];
    for (let n = numbers.next(); n > 0; n--) {
      y += numbers.nextSigned();
      x += numbers.nextSigned();
      loops.push({ x, y, length: numbers.next() });
    }
    loopsOfCells.push(loops);
  }
  const steps = { bytes: numbers.bytes, at: 4 * numbers.at };
  return loopsOfCells.map((loops) => walkLoops(loops, steps));
}

function walkLoops(loops, steps) {
  const cell = { path: new Path2D(), area: 0, box: [Infinity, Infinity, -Infinity, -Infinity] };
  for (const loop of loops) walkLoop(cell, loop, steps);
  return cell;
}

// The cell lies to the right of the path, so steps to the left (2) add to its area, and steps to the
// right (0) subtract what is above; only corners go into the path.
function walkLoop(cell, loop, steps) {
  let { x, y } = loop;
  let before = -1;
  for (let left = loop.length; left > 0; left--, steps.at++) {
    const step = (steps.bytes[steps.at >> 2] >> (2 * (steps.at & 3))) & 3;
    if (before < 0) cell.path.moveTo(x, y);
    else if (step !== before) cell.path.lineTo(x, y);
    if (step === 0) cell.area -= y;
    if (step === 2) cell.area += y;
    x += MOVES[step][0];
    y += MOVES[step][1];
    stretch(cell.box, x, y);
    before = step;
  }
  cell.path.closePath();
}

function stretch(box, x, y) {
  box[0] = Math.min(box[0], x);
  box[1] = Math.min(box[1], y);
  box[2] = Math.max(box[2], x);
  box[3] = Math.max(box[3], y);
}

// Everything of one image: picture, true cells, and every model's cells with their matches.
function readImage(block) {
  const found = block.found.map((packed) => packed && readFound(packed));
  const picture = block.picture && Object.assign(new Image(), { src: "data:image/webp;base64," + block.picture });
  return { height: block.height, width: block.width, picture, truth: block.truth && readCells(block.truth), found };
}

function readFound(packed) {
  const found = { cells: readCells(packed.cells) };
  for (const key of ["confidence", "levels", "iou", "best", "truthLevels", "truthIou", "truthBest"]) {
    if (packed[key] !== undefined) found[key] = readNumbers(packed[key]);
  }
  return found;
}
