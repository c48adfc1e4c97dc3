// What is tried inside a page: charts, legends and tables. Each says what it tried, and adds to
// `wrong` what failed. Expectations are read from what is shown, not from what the page sorts by.

// Drawings have a size; marks can be hit where they are drawn; hovering and keys say the value.
export const charts = async (page, wrong) => {
  const found = await page.evaluate(() => {
    const shown = (node) => node.getClientRects().length && !node.closest("details:not([open])");
    const drawings = [...document.querySelectorAll("main svg:not(svg svg)")].filter(shown);
    const flat = drawings.filter((d) => !d.getBoundingClientRect().width);
    const boxes = new Set();
    const missed = [];
    for (const mark of document.querySelectorAll("main svg [role=img][aria-label]")) {
      const box = mark.closest("figure, ol, .scroll");
      if (!boxes.has(box)) {
        boxes.add(box);
        box.dataset.chart = boxes.size;
        mark.dataset.first = boxes.size;
        mark.scrollIntoView({ block: "center" });
        const rect = (mark.querySelector("circle") || mark).getBoundingClientRect();
        const hit = document.elementFromPoint(rect.x + rect.width / 2, rect.y + rect.height / 2);
        const found = hit && hit.closest("[role=img][aria-label]");
        if (!found) missed.push(mark.outerHTML.slice(0, 160));
      }
    }
    const unlabelled = drawings
      .filter((d) => !d.ariaHidden && d.role === "img" && !d.ariaLabel)
      .map((d) => d.outerHTML.slice(0, 120));
    const left = document.querySelectorAll("main svg :is(g, path, circle, rect) > title").length;
    return {
      drawings: drawings.length, flat: flat.length, charts: boxes.size, missed, unlabelled, left,
    };
  });
  if (found.flat) wrong.push(`charts: ${found.flat} drawings without a size`);
  if (found.left) wrong.push(`charts: ${found.left} marks say nothing to a finger or a key`);
  for (const mark of found.missed) wrong.push(`charts: nothing drawn at ${mark}`);
  for (const mark of found.unlabelled) wrong.push(`charts: no label: ${mark}`);
  for (let at = 1; at <= found.charts; at += 1) await chart(page, at, wrong);
  return { drawings: found.drawings, charts: found.charts };
};

const tip = (page) => page.evaluate(() => {
  const told = document.querySelector(".tip");
  const box = told.getBoundingClientRect();
  const inside = box.left >= 0 && box.right <= innerWidth && box.height > 0;
  return told.hidden ? null : inside ? told.textContent : `outside the window: ${told.textContent}`;
});

const chart = async (page, at, wrong) => {
  const first = `[data-chart="${at}"] [data-first="${at}"]`;
  const { label, x, y, stops } = await page.evaluate(([at, first]) => {
    const mark = document.querySelector(first);
    mark.scrollIntoView({ block: "center" });
    const { x, y, width, height } = (mark.querySelector("circle") || mark).getBoundingClientRect();
    const stops = document.querySelectorAll(`[data-chart="${at}"] svg [tabindex="0"]`).length;
    return { label: mark.ariaLabel, x: x + width / 2, y: y + height / 2, stops };
  }, [at, first]);
  if (stops !== 1) wrong.push(`charts: ${stops} places of chart ${at} are reached by Tab`);
  await page.mouse.move(x, y);
  const hovered = await tip(page);
  if (!hovered || hovered.startsWith("outside")) wrong.push(`hover: ${label}: ${hovered}`);
  await page.mouse.move(2, 2);
  if (await tip(page)) wrong.push(`hover: ${label} stays`);
  await page.touchscreen.tap(x, y);
  if (!(await tip(page))) wrong.push(`touch: ${label}: nothing`);
  await page.touchscreen.tap(2, 2);
  if (await tip(page)) wrong.push(`touch: ${label} stays`);
  const focus = (which) => document.querySelector(which).focus({ focusVisible: true });
  await page.evaluate(focus, first);
  if ((await tip(page)) !== label) wrong.push(`keys: focus says ${await tip(page)}, not ${label}`);
  await page.keyboard.press("End");
  const end = await page.evaluate(() => document.activeElement.ariaLabel);
  if ((await tip(page)) !== end) wrong.push(`keys: End says ${await tip(page)}, not ${end}`);
  await page.keyboard.press("Home");
  let left = false;
  for (const key of ["ArrowRight", "ArrowDown"]) {
    await page.keyboard.press(key);
    left ||= await page.evaluate((at) => {
      const marks = document.querySelectorAll(`[data-chart="${at}"] svg [role=img][aria-label]`);
      return marks.length === 1 || document.activeElement !== marks[0];
    }, at);
  }
  if (!left) wrong.push(`keys: arrows do not leave ${label}`);
  await page.keyboard.press("Escape");
  if (await tip(page)) wrong.push(`keys: Escape leaves ${label}`);
  await page.evaluate(() => document.activeElement.blur());
};

// Every entry of a legend puts its series away and brings it back.
export const legends = (page, wrong) => page.evaluate(() => {
  const bad = [];
  const buttons = [...document.querySelectorAll(".legend button")];
  for (const button of buttons) {
    const entry = button.closest("[data-series]");
    const parts = [...button.closest("section").querySelectorAll("[data-series]")]
      .filter((part) => part !== entry && part.dataset.series === entry.dataset.series);
    const drawn = () => parts.filter((part) => part.getClientRects().length).length;
    const before = drawn();
    button.click();
    const gone = drawn();
    const said = button.ariaPressed;
    button.click();
    const back = drawn() === before && button.ariaPressed === "true";
    if (!before || gone || said !== "false" || !back) {
      bad.push(`legend: ${entry.textContent.trim()}: ${before}, ${gone}, ${drawn()} parts drawn`);
    }
  }
  return { bad, tried: buttons.length };
}).then(({ bad, tried }) => (wrong.push(...bad), tried));

// Every heading sorts, both ways, by what a person reads in the cells.
export const tables = async (page, wrong) => {
  const { bad, tried } = await page.evaluate(() => {
    const UNITS = { h: 3600, min: 60, s: 1 };
    const number = (text) => {
      const plain = text.replace(/\u2212/g, "-").replace(/\u00a0/g, " ")
        .replace(/(\d),(?=\d{3})/g, "$1");
      const between = plain.match(/^(-?[\d.]+) to (-?[\d.]+)$/);
      if (between) return [(Number(between[1]) + Number(between[2])) / 2, between[1]];
      const times = [...plain.matchAll(/([\d.]+) (h|min|s)\b/g)];
      const seconds = times.reduce((sum, [, n, unit]) => sum + n * UNITS[unit], 0);
      if (times.length) return [seconds, times.at(-1)[1]];
      const one = plain.match(/^[<+]*\s*(-?[\d.]+(?:e\+?\d+)?)/);
      return one ? [Number(one[1]), one[1]] : null;
    };
    const read = (cell, numeric) => {
      const copy = cell.cloneNode(true);
      for (const more of copy.querySelectorAll("small, .tag")) more.remove();
      const text = copy.textContent.trim();
      return text === "\u2013" ? null : numeric ? number(text) : [text, ""];
    };
    const step = (digits) => 10 ** -(digits.split(".")[1] || "").length; // of what is rounded
    const wrongOrder = (a, b, way, numeric) => {
      if (a === null) return b !== null; // what has no value stays last
      if (b === null) return false;
      const [x, y] = way === "ascending" ? [a, b] : [b, a];
      if (numeric) return x[0] - y[0] > 1.001 * Math.max(step(x[1]), step(y[1]));
      return x[0].localeCompare(y[0], "en", { numeric: true }) > 0;
    };
    const bad = [];
    const heads = [...document.querySelectorAll("th[data-first]")];
    for (const head of heads) {
      const table = head.closest("table");
      const about = `table ${table.caption.textContent}, ${head.textContent.trim()}`;
      const numeric = head.classList.contains("num");
      const before = [...table.tBodies[0].rows].map((row) => row.textContent).sort().join();
      for (const press of [1, 2]) {
        head.querySelector("button").click();
        const way = head.ariaSort;
        const expected = press === 2 || way === head.dataset.first;
        if (!expected) bad.push(`${about}: first press sorts ${way}`);
        const rows = [...table.tBodies[0].rows];
        const cells = rows.map((row) => read(row.cells[head.cellIndex], numeric));
        const at = cells.findIndex((cell, i) => i && wrongOrder(cells[i - 1], cell, way, numeric));
        if (at > 0) bad.push(`${about}: ${way}: ${cells[at - 1]} before ${cells[at]}`);
        const after = rows.map((row) => row.textContent).sort().join();
        if (after !== before) bad.push(`${about}: rows lost`);
      }
      const sorted = table.querySelectorAll("[aria-sort]");
      const alone = sorted.length === 1 && sorted[0] === head;
      if (!alone) bad.push(`${about}: aria-sort is not on it alone`);
    }
    return { bad, tried: heads.length };
  });
  wrong.push(...bad);
  const button = page.locator("th[data-first] button").first();
  if (tried) {
    const head = page.locator("th[data-first]").first();
    const before = await head.getAttribute("aria-sort");
    await button.focus();
    await page.keyboard.press("Enter");
    if ((await head.getAttribute("aria-sort")) === before) wrong.push("table: Enter does not sort");
  }
  return tried;
};

// What sticks out of a narrow window, for the message.
export const wide = (page, most) => page.evaluate((most) => {
  const clipped = (node) => node.closest(".scroll, svg, .away, .skip, caption");
  const out = [...document.querySelectorAll("body *")].filter(
    (node) => node.getBoundingClientRect().right > most + 0.5 && !clipped(node),
  );
  const drawings = "main svg:is(.plot, .forest, .difference):not(svg svg)";
  const thin = [...document.querySelectorAll(drawings)]
    .filter((node) => node.getBoundingClientRect().width < most / 3);
  return {
    pixels: document.scrollingElement.scrollWidth,
    thin: thin.map((node) => node.closest("section").id).join(),
    who: out.slice(-1).map((node) => node.outerHTML.slice(0, 140)).join(),
  };
}, most);
