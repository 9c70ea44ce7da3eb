/**
 * `npm run bench`: the package beside what one would write by hand, in a real Chromium, in one run.
 *
 * Every round measures every number of both sides, each on a fresh page, and the side that begins changes from round to
 * round. One round is thrown away, then come five; a figure is the median of its five. What is compared: `measures.js`.
 *
 *     node benches/run.js [--rows 10000] [--rounds 5] [--only load,create] [--json FILE]
 *
 * A bound that is exceeded is printed as `over`; the exit code is 0 unless something breaks.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { launch, removeDir, tempDir } from "../tests/e2e/support/browser.js";
import { Lab } from "./lab.js";
import { MEASURES } from "./measures.js";
import { serveBench } from "./site.js";

const SIDES = ["package", "by-hand"];

const { values: options } = parseArgs({
  options: {
    rows: { type: "string", default: "10000" },
    rounds: { type: "string", default: "5" },
    only: { type: "string" },
    json: { type: "string" },
  },
});
const rows = Number(options.rows);
const rounds = Number(options.rounds);
const chosen = options.only?.split(",");
const measures = MEASURES.filter(({ name }) => !chosen || chosen.includes(name));

const site = await serveBench(rows);
const profile = await tempDir();
const browser = await launch(profile);
try {
  const lab = new Lab(browser.context, site.port, rows);
  const results = await measureAll(lab);
  const setting = { browser: await nameOf(browser.page), rows, rounds };
  console.log(table(results, setting));
  if (options.json) await writeFile(options.json, `${JSON.stringify({ ...setting, results }, undefined, 2)}\n`);
} finally {
  await browser.close();
  await site.close();
  await removeDir(profile);
}

/** For instance `Chromium 156`. */
function nameOf(page) {
  return page.evaluate(() => navigator.userAgent.replace(/^.*Chrome\/(\d+).*$/, "Chromium $1"));
}

async function measureAll(lab) {
  const taken = measures.map((measure) => ({ measure, figures: Object.fromEntries(SIDES.map((side) => [side, []])) }));
  for (const { measure } of taken) measure.state = await measure.prepare?.(lab);
  for (let round = 0; round <= rounds; round++) {
    console.error(round === 0 ? "warming up" : `round ${round} of ${rounds}`);
    const order = round % 2 ? SIDES : SIDES.toReversed();
    for (const { measure, figures } of taken) {
      for (const side of order) {
        const figure = await measure.take(lab, side, measure.state);
        if (round > 0) figures[side].push(figure);
      }
    }
  }
  return taken.flatMap(({ measure, figures }) => measure.lines.map((line) => summary(line, figures)));
}

function summary({ key, what, unit, bound, exactly }, figures) {
  const [ours, byHand] = SIDES.map((side) => figures[side].map((figure) => figure[key]));
  const [our, other] = [median(ours), median(byHand)];
  const ratio = exactly === undefined ? our / other : undefined;
  const met = exactly === undefined ? bound === undefined || ratio <= bound : ours.every((count) => count === exactly);
  return { what, unit, ours, byHand, medians: { ours: our, byHand: other }, ratio, bound, exactly, met };
}

function median(figures) {
  const sorted = figures.filter((figure) => figure !== undefined).sort((one, other) => one - other);
  if (sorted.length === 0) return undefined;
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function table(results, setting) {
  const head = ["", "concordia", "by hand", "ratio", "bound", ""];
  const lines = results.map(({ what, unit, medians, ratio, bound, exactly, met }) => [
    what,
    shown(medians.ours, unit),
    shown(medians.byHand, unit),
    ratio === undefined ? "" : `${ratio.toFixed(3)} ×`,
    exactly === undefined ? (bound === undefined ? "" : `${bound} ×`) : `= ${exactly}`,
    bound === undefined && exactly === undefined ? "" : met ? "OK" : "over",
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...lines].map((line) => line[column].length)));
  const cell = (text, column) => (column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column]));
  const row = (line) => `| ${line.map(cell).join(" | ")} |`;
  const rule = `| ${widths.map((width, column) => (column ? `${"-".repeat(width - 1)}:` : "-".repeat(width))).join(" | ")} |`;
  const title = `${setting.rows} rows of 8 fields, medians of ${setting.rounds} interleaved rounds, ${setting.browser}`;
  return [title, "", row(head), rule, ...lines.map(row)].join("\n");
}

function shown(value, unit) {
  if (value === undefined) return "";
  return unit === "ms" ? `${value.toFixed(value < 100 ? 1 : 0)} ms` : `${value} ${unit}`;
}
