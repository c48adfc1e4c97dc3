// What is done here is extra: without it the page can be read, and every chart has a table.
"use strict";
const all = (where, what) => [...where.querySelectorAll(what)];
const pressed = (place) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...place.childNodes);
  place.append(button);
  return button;
};

// Tables. Press a heading: sort by it; press again: the other way round. Cells without a value
// stay last. A cell is sorted by its data-value: of an interval that is its middle.
const valueOf = (cell, numeric) => {
  const given = cell.dataset.value;
  return given === undefined ? undefined : numeric ? Number(given) : given;
};
const sortBy = (head) => {
  const body = head.closest("table").tBodies[0];
  const now = head.getAttribute("aria-sort");
  const way = now ? (now === "ascending" ? "descending" : "ascending") : head.dataset.first;
  const numeric = head.classList.contains("num");
  const compare = (a, b) => (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [a, b].map((row) => valueOf(row.cells[head.cellIndex], numeric));
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return way === "ascending" ? compare(x, y) : compare(y, x);
  });
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", way);
  body.append(...rows);
};
for (const head of all(document, "th[data-first]")) {
  const button = pressed(head);
  const arrow = document.createElement("span");
  arrow.className = "arrow";
  arrow.ariaHidden = "true";
  button.append("\u00a0", arrow);
  button.addEventListener("click", () => sortBy(head));
}

// Charts. What has a <title> in a drawing is a mark. It says its value when pointed at, touched or
// reached by keys: Tab enters a chart, arrows go from mark to mark, Escape puts the word away.
const REACH = 28; // pixels from a pointer to the mark that it means
const MANY = 800; // marks; among more the pointer must be on one
const tip = document.createElement("div");
tip.className = "tip";
tip.ariaHidden = "true"; // a mark's own label says the same
tip.hidden = true;
document.body.append(tip);
let lit = null;

const middle = (mark) => {
  const box = (mark.querySelector("circle") || mark).getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
};
const place = () => {
  if (!lit) return;
  const [x, y] = middle(lit);
  const { offsetWidth: wide, offsetHeight: tall } = tip;
  const most = document.documentElement.clientWidth - wide - 8;
  tip.style.left = `${Math.max(8, Math.min(most, x - wide / 2))}px`;
  tip.style.top = `${y - tall - 14 < 4 ? y + 16 : y - tall - 14}px`;
};
const show = (mark) => {
  if (mark === lit) return;
  if (lit) lit.classList.remove("lit");
  lit = mark;
  tip.hidden = !mark;
  if (!mark) return;
  mark.classList.add("lit");
  tip.textContent = mark.getAttribute("aria-label");
  place();
};
addEventListener("scroll", place, true);
addEventListener("resize", place);

const charts = new Map();
const seen = (marks) => marks.filter((mark) => !mark.closest(".gone"));
const stop = (marks, at) => {
  for (const mark of marks) mark.setAttribute("tabindex", mark === at ? 0 : -1);
};
for (const title of all(document, "main svg :is(g, path, circle, rect) > title")) {
  const mark = title.parentNode;
  const chart = mark.closest("figure, ol, .scroll");
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", title.textContent);
  title.remove(); // or the browser would say it too
  let drawing = mark.ownerSVGElement;
  while (drawing.ownerSVGElement) drawing = drawing.ownerSVGElement;
  drawing.removeAttribute("aria-hidden");
  drawing.setAttribute("role", "group"); // an image could not hold what has the focus
  if (!charts.has(chart)) charts.set(chart, []);
  charts.get(chart).push(mark);
}

const nearest = (marks, x, y) => {
  let best = null;
  let least = REACH;
  for (const mark of marks) {
    const [left, top] = middle(mark);
    const far = Math.hypot(left - x, top - y);
    if (far < least) [best, least] = [mark, far];
  }
  return best;
};
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
// The next mark that way: what lies straight ahead counts as nearer than what lies aside.
const next = (marks, from, [right, down]) => {
  const [x, y] = middle(from);
  let best = from;
  let least = Infinity;
  for (const mark of marks) {
    const [left, top] = middle(mark);
    const ahead = (left - x) * right + (top - y) * down;
    const aside = Math.abs((left - x) * down) + Math.abs((top - y) * right);
    if (ahead > 0.5 && ahead + 3 * aside < least) [best, least] = [mark, ahead + 3 * aside];
  }
  return best;
};
for (const [chart, marks] of charts) {
  stop(marks, marks[0]);
  const point = (event) => {
    const under = event.target.closest("[aria-label][role=img]");
    const near = marks.length > MANY ? [] : seen(marks);
    show(marks.includes(under) ? under : nearest(near, event.clientX, event.clientY));
  };
  chart.addEventListener("pointermove", point);
  chart.addEventListener("pointerdown", point);
  chart.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && show(null));
  chart.addEventListener("focusin", (event) => {
    if (!marks.includes(event.target)) return;
    stop(marks, event.target);
    show(event.target);
  });
  chart.addEventListener("focusout", () => show(null));
  chart.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (!marks.includes(target)) return;
    const there = seen(marks);
    const to = { Home: there[0], End: there[there.length - 1] }[key];
    const goal = to || (WAYS[key] && next(there, target, WAYS[key]));
    if (!goal) return;
    event.preventDefault(); // the page stays where it is
    goal.focus();
  });
}
addEventListener("keydown", (event) => event.key === "Escape" && show(null));
addEventListener("pointerdown", (event) => {
  if (!event.target.closest("figure, ol, .scroll")) show(null);
});

// Legends. Press an entry: its series goes away; press again: it comes back. Paper shows all.
for (const entry of all(document, ".legend [data-series]")) {
  if (entry.parentNode.children.length < 2) continue;
  const button = pressed(entry);
  const section = entry.closest("section");
  button.setAttribute("aria-pressed", "true");
  button.addEventListener("click", () => {
    const gone = button.getAttribute("aria-pressed") === "true";
    button.setAttribute("aria-pressed", String(!gone));
    for (const part of all(section, `[data-series="${CSS.escape(entry.dataset.series)}"]`)) {
      if (part !== entry) part.classList.toggle("gone", gone);
    }
    show(null);
    for (const [chart, marks] of charts) if (section.contains(chart)) stop(marks, seen(marks)[0]);
  });
}
