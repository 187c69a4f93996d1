// The pointer shows the nearest point of a line; the boxes of the table hide the lines of a run.
"use strict";
const points = new WeakMap();

function pointsOf(path) {
  if (!points.has(path)) {
    const numbers = path.getAttribute("d").match(/\d+/g).map(Number);
    points.set(path, numbers);
  }
  return points.get(path);
}

function round(value) {
  return String(Number(value.toPrecision(4)));
}

for (const plot of document.querySelectorAll(".plot")) {
  const [x0, x1, y0, y1] = plot.dataset.range.split(" ").map(Number);
  const tip = plot.querySelector(".tip");
  const dot = plot.querySelector(".dot");
  const lines = [...plot.querySelectorAll("path.line")];
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let least = Infinity;
    for (const line of lines) {
      if (line.classList.contains("off")) continue;
      const numbers = pointsOf(line);
      for (let at = 0; at < numbers.length; at += 2) {
        const [x, y] = [(numbers[at] / 10000) * box.width, (numbers[at + 1] / 10000) * box.height];
        const distance = (x - left) ** 2 + (y - top) ** 2;
        if (distance < least) [least, best] = [distance, { line, at, x, y }];
      }
    }
    tip.hidden = dot.hidden = best === null;
    if (best === null) return;
    const numbers = pointsOf(best.line);
    const run = document.getElementById(`run${best.line.dataset.run}`).textContent;
    const x = x0 + (numbers[best.at] / 10000) * (x1 - x0);
    const y = y1 - (numbers[best.at + 1] / 10000) * (y1 - y0);
    const shown = plot.dataset.axis === "_timestamp" ? new Date(x * 1000).toISOString() : round(x);
    tip.textContent = `${round(y)} at ${shown} · ${run}`;
    dot.style.left = `${best.x}px`;
    dot.style.top = `${best.y}px`;
    dot.style.color = getComputedStyle(best.line).color;
    if (best.x > box.width / 2) [tip.style.left, tip.style.right] = ["auto", `${box.width - best.x}px`];
    else [tip.style.left, tip.style.right] = [`${best.x}px`, "auto"];
    tip.style.top = best.y < 40 ? "60%" : "4px";
  });
  plot.addEventListener("pointerleave", () => {
    tip.hidden = dot.hidden = true;
  });
}

for (const box of document.querySelectorAll("input[data-run]")) {
  box.addEventListener("change", () => {
    for (const path of document.querySelectorAll(`path.r${box.dataset.run}`)) {
      path.classList.toggle("off", !box.checked);
    }
  });
}
