"use strict";
// Draws clouds into canvases, point by point with a depth buffer: the same picture in every browser, with or without a
// graphics card, and no limit on how many canvases a page may have.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const scale = Uint32Array.from(data.scale, hex => {
    const value = parseInt(hex, 16);
    return (255 << 24 | (value & 255) << 16 | (value & 0xff00) | value >> 16) >>> 0;
  });
  const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
  const ground = 0xff1e1814;

  function decode(text) {
    const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
    if (!littleEndian) for (let i = 0; i < bytes.length; i += 2) [bytes[i], bytes[i + 1]] = [bytes[i + 1], bytes[i]];
    return new Uint16Array(bytes.buffer);
  }

  const multiply = (p, q) => p.map((_, k) => {
    const row = 3 * Math.floor(k / 3), column = k % 3;
    return p[row] * q[column] + p[row + 1] * q[column + 3] + p[row + 2] * q[column + 6];
  });
  const aboutX = t => [1, 0, 0, 0, Math.cos(t), -Math.sin(t), 0, Math.sin(t), Math.cos(t)];
  const aboutY = t => [Math.cos(t), 0, Math.sin(t), 0, 1, 0, -Math.sin(t), 0, Math.cos(t)];
  const upright = { z: [1, 0, 0, 0, 0, 1, 0, -1, 0], y: [1, 0, 0, 0, 1, 0, 0, 0, 1] };
  const start = up => multiply(aboutX(0.45), multiply(aboutY(-0.6), upright[up]));

  // Darken what lies behind its neighbours on the screen: hues keep their meaning, and the shape can be seen.
  function shade({ pixels, depth, shaded }, width, height, reach) {
    shaded.set(pixels);
    for (let y = reach; y < height - reach; y++) {
      for (let x = reach, at = y * width + reach; x < width - reach; x++, at++) {
        const own = depth[at];
        if (own === Infinity) continue;
        let behind = 0;
        for (const other of [at - reach, at + reach, at - reach * width, at + reach * width]) {
          if (depth[other] < own) behind += Math.min(0.12, own - depth[other]);
        }
        if (behind < 0.004) continue;
        const light = 0.4 + 0.6 * Math.exp(-9 * behind), colour = pixels[at];
        shaded[at] = (0xff000000 | Math.round((colour >> 16 & 255) * light) << 16
          | Math.round((colour >> 8 & 255) * light) << 8 | Math.round((colour & 255) * light)) >>> 0;
      }
    }
    pixels.set(shaded);
  }

  class Pair {
    constructor(section, view) {
      this.view = view;
      this.section = section;
      this.up = section.dataset.flat ? "flat" : "z";
      this.clouds = [...section.querySelectorAll("canvas")].map((canvas, k) => ({
        canvas, points: decode(view.points[k]), errors: decode(view.errors[k]), colours: null, size: [0, 0],
      }));
      this.frame();
      this.reset();
      const slider = section.querySelector("input[type=range]");
      // The slider is logarithmic over the last three decades below the largest error.
      const top = () => view.largest * 10 ** (3 * (slider.value / 1000 - 1));
      slider.value = view.usual > 0 ? 1000 * (1 + Math.log10(view.usual / view.largest) / 3) : 1000;
      slider.addEventListener("input", () => this.colour(top()));
      section.querySelector("[data-action=reset]").addEventListener("click", () => { this.reset(); this.ask(); });
      section.querySelector("select").addEventListener("change", event => {
        this.up = event.target.value; this.reset(); this.ask();
      });
      section.querySelector("[data-action=shade]").addEventListener("change", () => this.ask());
      for (const cloud of this.clouds) this.listen(cloud.canvas);
      new ResizeObserver(() => this.ask()).observe(this.clouds[0].canvas);
      this.colour(top());
    }

    frame() {  // the middle and the radius of nearly all points: a few strays must not make the rest small
      const axes = [0, 1, 2].map(axis => {
        const values = this.clouds.flatMap(({ points }) => Array.from(points.filter((_, i) => i % 3 === axis)));
        return Float64Array.from(values).sort();
      });
      const last = axes[0].length - 1, at = (values, share) => values[Math.round(share * last)];
      this.centre = axes.map(values => (at(values, 0.01) + at(values, 0.99)) / 2);
      const [cx, cy, cz] = this.centre, away = new Float64Array(last + 1);
      let k = 0;
      for (const { points } of this.clouds) for (let i = 0; i < points.length; i += 3) {
        away[k++] = Math.hypot(points[i] - cx, points[i + 1] - cy, points[i + 2] - cz);
      }
      this.radius = 1.03 * at(away.sort(), 0.99) || 1;
    }

    reset() { this.rotation = this.up === "flat" ? upright.y : start(this.up); this.zoom = 1; this.shift = [0, 0]; }

    colour(top) {
      this.section.querySelector(".top").textContent = (top < this.view.largest ? "\u2265 " : "") + top.toPrecision(3);
      this.section.querySelector(".middle").textContent = (top / 2).toPrecision(3);
      const factor = top > 0 ? this.view.largest / 65535 / top * 255 : 0;
      for (const cloud of this.clouds) {
        cloud.colours = Uint32Array.from(cloud.errors, error => scale[Math.min(255, Math.round(error * factor))]);
      }
      this.ask();
    }

    turn(dx, dy) { this.rotation = multiply(aboutX(dy), multiply(aboutY(dx), this.rotation)); this.ask(); }
    magnify(by) { this.zoom = Math.min(50, Math.max(0.2, this.zoom * by)); this.ask(); }

    listen(canvas) {
      const fingers = new Map();
      canvas.addEventListener("pointerdown", event => {
        canvas.setPointerCapture(event.pointerId);
        fingers.set(event.pointerId, [event.clientX, event.clientY]);
      });
      canvas.addEventListener("pointermove", event => {
        const before = fingers.get(event.pointerId);
        if (!before) return;
        const dx = event.clientX - before[0], dy = event.clientY - before[1];
        fingers.set(event.pointerId, [event.clientX, event.clientY]);
        const width = canvas.clientWidth;
        if (fingers.size === 2) this.pinch([...fingers.values()], before, event);
        else if (event.shiftKey || event.buttons === 2) {
          this.shift = [this.shift[0] + dx / width, this.shift[1] + dy / width];
          this.ask();
        } else this.turn(dx / width * 4, dy / width * 4);
      });
      for (const end of ["pointerup", "pointercancel"]) {
        canvas.addEventListener(end, event => fingers.delete(event.pointerId));
      }
      canvas.addEventListener("contextmenu", event => event.preventDefault());
      canvas.addEventListener("wheel", event => {
        // A page must stay scrollable: the wheel zooms only where the cloud was clicked before, or with Ctrl.
        if (document.activeElement !== canvas && !event.ctrlKey) return;
        event.preventDefault();
        this.magnify(Math.exp(-event.deltaY / 500));
      }, { passive: false });
      canvas.addEventListener("keydown", event => {
        const turns = { ArrowLeft: [-.1, 0], ArrowRight: [.1, 0], ArrowUp: [0, -.1], ArrowDown: [0, .1] };
        if (event.key in turns) this.turn(...turns[event.key]);
        else if (event.key === "+" || event.key === "=") this.magnify(1.2);
        else if (event.key === "-") this.magnify(1 / 1.2);
        else if (event.key === "0") { this.reset(); this.ask(); }
        else return;
        event.preventDefault();
      });
    }

    pinch(now, before, event) {
      const other = now.find(finger => finger[0] !== event.clientX || finger[1] !== event.clientY) || now[0];
      const length = from => Math.hypot(from[0] - other[0], from[1] - other[1]) || 1;
      this.magnify(length([event.clientX, event.clientY]) / length(before));
    }

    ask() {
      if (this.asked) return;
      this.asked = true;
      requestAnimationFrame(() => { this.asked = false; for (const cloud of this.clouds) this.draw(cloud); });
    }

    draw(cloud) {
      const { canvas, points, colours } = cloud, dense = Math.min(2, window.devicePixelRatio || 1);
      const width = Math.round(canvas.clientWidth * dense), height = Math.round(canvas.clientHeight * dense);
      if (!width || !height) return;
      if (cloud.size[0] !== width || cloud.size[1] !== height) {
        canvas.width = width; canvas.height = height;
        cloud.size = [width, height];
        cloud.context = canvas.getContext("2d", { willReadFrequently: true });  // pixels are made here, not there
        cloud.image = cloud.context.createImageData(width, height);
        cloud.pixels = new Uint32Array(cloud.image.data.buffer);
        cloud.depth = new Float32Array(width * height);
        cloud.shaded = new Uint32Array(width * height);
      }
      const { pixels, depth } = cloud, [r0, r1, r2, r3, r4, r5, r6, r7, r8] = this.rotation;
      pixels.fill(ground);
      depth.fill(Infinity);
      const size = Math.min(width, height), [cx, cy, cz] = this.centre, unit = 1 / this.radius;
      const focus = 1.45 * size * this.zoom, distance = 3.2;
      const middleX = width / 2 + this.shift[0] * width, middleY = height / 2 + this.shift[1] * width;
      // Dots as large as leave the cloud's surface closed, within bounds.
      const n = points.length / 3, dot = Math.sqrt(2 * size * size / n * this.zoom);
      const side = Math.round(Math.min(9 * dense, Math.max(2 * dense, dot)));
      const inset = Array.from({ length: side }, (_, row) => {  // of a disc's rows
        const y = row + 0.5 - side / 2;
        return Math.round(side / 2 - Math.sqrt(Math.max(0, side * side / 4 - y * y)));
      });
      for (let i = 0, k = 0; i < n; i++, k += 3) {
        const x = (points[k] - cx) * unit, y = (points[k + 1] - cy) * unit, z = (points[k + 2] - cz) * unit;
        const away = distance - (r6 * x + r7 * y + r8 * z);
        if (away < 0.1) continue;
        const left = Math.round(middleX + focus * (r0 * x + r1 * y + r2 * z) / away - side / 2);
        const top = Math.round(middleY - focus * (r3 * x + r4 * y + r5 * z) / away - side / 2);
        if (left < 0 || top < 0 || left + side > width || top + side > height) continue;
        const colour = colours[i];
        for (let row = 0; row < side; row++) {
          const begin = (top + row) * width + left;
          for (let at = begin + inset[row], end = begin + side - inset[row]; at < end; at++) {
            if (away < depth[at]) { depth[at] = away; pixels[at] = colour; }
          }
        }
      }
      if (this.section.querySelector("[data-action=shade]").checked) shade(cloud, width, height, Math.round(dense));
      cloud.context.putImageData(cloud.image, 0, 0);
    }
  }

  function readOut(chart, view, output) {  // rates under the pointer
    const cursor = chart.querySelector(".cursor"), { left, right, end } = chart.dataset;
    chart.addEventListener("pointermove", event => {
      const box = chart.getBoundingClientRect(), x = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
      const share = (x - left) / (right - left), last = view.thresholds.length - 1;
      const k = Math.max(0, Math.min(last, Math.round(share * (last + 1)) - 1));
      const at = +left + (right - left) * view.thresholds[k] / end;
      cursor.setAttribute("x1", at);
      cursor.setAttribute("x2", at);
      cursor.setAttribute("visibility", "visible");
      output.textContent = `at ${view.thresholds[k]}: ` + ["f-score", "precision", "recall"]
        .map(name => `${name} ${view.rates[name][k].toFixed(4)}`).join(", ");
    });
    chart.addEventListener("pointerleave", () => {
      cursor.setAttribute("visibility", "hidden");
      output.textContent = "";
    });
  }

  const sections = [...document.querySelectorAll("section.pair")], pairs = new Map();
  function show(index) {
    for (const section of sections) section.hidden = section.dataset.pair !== index;
    for (const row of document.querySelectorAll("tr[data-pair]")) {
      row.setAttribute("aria-current", row.dataset.pair === index);
    }
    if (pairs.has(index)) return;
    const section = sections.find(one => one.dataset.pair === index), view = data.views[index];
    pairs.set(index, new Pair(section, view));
    readOut(section.querySelector(".chart.curve"), view, section.querySelector("output"));
  }
  for (const button of document.querySelectorAll("button[data-pair]")) {
    button.addEventListener("click", () => {
      show(button.dataset.pair);
      sections.find(one => one.dataset.pair === button.dataset.pair).scrollIntoView({ block: "start" });
    });
  }
  if (sections.length) show(sections[0].dataset.pair);
})();
