// Opens pages in Chromium and says as JSON what is wrong with each: `node look.mjs OUT PAGE...`.
// Screenshots and a PDF of every page go to the folder OUT, for people to look at; "" for none.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { charts, legends, tables, wide } from "./inside.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = ["--disable-gpu", "--no-first-run", "--disable-background-networking"];
const WIDE = { width: 1100, height: 900 };
const PHONE = { width: 390, height: 844 };
const [out, ...pages] = process.argv.slice(2);

// What the page does that it must not do: errors in the console, requests to anywhere.
const listen = (page, wrong) => {
  page.on("console", (said) => said.type() === "error" && wrong.push(`console: ${said.text()}`));
  page.on("pageerror", (error) => wrong.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (!/^(file|data|blob):/.test(request.url())) wrong.push(`request: ${request.url()}`);
  });
};
// All rules in light; in dark nothing but colours differs.
const axe = async (page, scheme, wrong) => {
  await page.emulateMedia({ colorScheme: scheme });
  const options = { resultTypes: ["violations"] };
  if (scheme === "dark") options.runOnly = { type: "rule", values: ["color-contrast"] };
  const { violations } = await page.evaluate((how) => window.axe.run(how), options);
  for (const { id, impact, nodes } of violations) {
    const where = `${nodes.length} times, first ${nodes[0].html.slice(0, 160)}`;
    if (["serious", "critical"].includes(impact)) wrong.push(`axe, ${scheme}: ${id}: ${where}`);
  }
  return violations.map(({ id, impact }) => `${id} (${impact})`);
};
const openAll = (page, open) => page.evaluate((to) => {
  for (const part of document.querySelectorAll("details")) part.open = to;
}, open);

const look = async (browser, path) => {
  const name = basename(path, ".html");
  const found = { page: name, wrong: [], axe: {} };
  const { wrong } = found;
  const page = await browser.newPage({
    viewport: WIDE, colorScheme: "light", reducedMotion: "reduce", hasTouch: true,
  });
  const shot = (what) => {
    const path = join(out, `${name}-${what}.png`);
    return out && page.screenshot({ path, fullPage: true });
  };
  listen(page, wrong);
  await page.goto(pathToFileURL(resolve(path)).href);
  await shot("light");
  found.charts = await charts(page, wrong);
  found.legends = await legends(page, wrong);
  await openAll(page, true);
  found.tables = await tables(page, wrong);
  await page.evaluate(AXE);
  found.axe.light = await axe(page, "light", wrong);
  found.axe.dark = await axe(page, "dark", wrong);
  for (const open of [true, false]) {
    await openAll(page, open);
    await page.setViewportSize(PHONE);
    const { pixels, who, thin } = await wide(page, PHONE.width);
    if (pixels > PHONE.width) wrong.push(`phone: ${pixels} pixels, details ${open}: ${who}`);
    if (thin) wrong.push(`phone: squeezed: ${thin}`);
  }
  await shot("phone-dark");
  await page.setViewportSize(WIDE);
  await shot("dark");
  await page.emulateMedia({ media: "print", colorScheme: "light" });
  await shot("paper");
  const lost = await page.evaluate(() => [...document.querySelectorAll(".panel > .values.short")]
    .filter((part) => !part.closest(".panels.small"))
    .filter((part) => !part.querySelector("table").checkVisibility()).length);
  if (lost) wrong.push(`paper: ${lost} short tables are closed`);
  const pdf = await page.pdf({ path: out ? join(out, `${name}.pdf`) : undefined, format: "A4" });
  found.paper = (pdf.toString("latin1").match(/\/Type\s*\/Page\b/g) || []).length;
  await page.close();
  found.bare = await withoutScript(browser, path, wrong);
  return found;
};

// Without script nothing is dead: no button, and every drawing has a table that opens by itself.
const withoutScript = async (browser, path, wrong) => {
  const page = await browser.newPage({ viewport: WIDE, javaScriptEnabled: false });
  listen(page, wrong);
  await page.goto(pathToFileURL(resolve(path)).href);
  const buttons = await page.locator("button").count();
  if (buttons) wrong.push(`without script: ${buttons} buttons do nothing`);
  const tables = page.locator("details.values");
  const many = await tables.count();
  if (many) {
    await tables.first().locator("summary").click();
    const seen = await tables.first().locator("table").isVisible();
    if (!seen) wrong.push("without script: no table");
  }
  await page.close();
  return many;
};

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM, args: FLAGS, chromiumSandbox: false, headless: true,
});
try {
  const all = await Promise.all(pages.map((path) => look(browser, path)));
  console.log(JSON.stringify(all, null, 1));
} finally {
  await browser.close();
}
