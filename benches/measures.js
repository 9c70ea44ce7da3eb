/**
 * What is measured, and the bound of each ratio. `take(lab, side, state)` gives the figures of one side in one round;
 * a line of the table names one of them. Both sides do the same work, on the same rows, in databases of their own.
 */
const LOAD_PAGES = { package: "/page/load-package.html", "by-hand": "/page/load-by-hand.html" };

export const MEASURES = [
  {
    name: "access",
    lines: [
      { key: "readText", what: "read a text property 1 000 000 times, over all items", unit: "ms", bound: 2 },
      { key: "readNumber", what: "read a number property 1 000 000 times, over all items", unit: "ms", bound: 2 },
      { key: "setOne", what: "set a property of one item 1 000 000 times", unit: "ms", bound: 10 },
      { key: "setAll", what: "set a property 1 000 000 times, over all items", unit: "ms", bound: 10 },
    ],
    take: (lab, side) => lab.run(side, "access", lab.database(), lab.rows),
  },
  {
    // By hand: `getAll` of one record per row. The package's rows were fetched and stored by the package.
    name: "load",
    lines: [
      {
        key: "sinceNavigation",
        what: "page load until all stored items are read, from navigation",
        unit: "ms",
        bound: 0.75,
      },
      {
        key: "sinceScript",
        what: "page load until all stored items are read, from the first script",
        unit: "ms",
        bound: 0.75,
      },
    ],
    async prepare(lab) {
      const databases = {};
      for (const side of Object.keys(LOAD_PAGES)) {
        databases[side] = lab.database();
        await lab.run(side, "fetchAll", databases[side], lab.rows);
      }
      return databases;
    },
    take: (lab, side, databases) => lab.load(LOAD_PAGES[side], databases[side]),
  },
  {
    // By hand: `put`s of one record per row, issued in one task, in one transaction; the database is open already.
    name: "create",
    lines: [
      { key: "time", what: "create all items in one tick, until durable", unit: "ms", bound: 0.2 },
      { key: "block", what: "… longest block of the main thread", unit: "ms", bound: 1 },
    ],
    take: (lab, side) => timeAndBlock(lab, side, "createAll"),
  },
  {
    // As above, but for the package with a server that cannot be reached: every create is also durably queued.
    name: "queue",
    lines: [
      {
        key: "time",
        what: "create all items in one tick, until durable and queued for the server",
        unit: "ms",
        bound: 0.2,
      },
      { key: "block", what: "… longest block of the main thread", unit: "ms", bound: 1 },
    ],
    take: (lab, side) => timeAndBlock(lab, side, side === "package" ? "createAndQueueAll" : "createAll"),
  },
  {
    // By hand: the same fetch, `response.json()`, then `put`s of one record per row in one transaction.
    name: "fetch",
    lines: [
      { key: "time", what: "first fetch of all rows, from opening the database until durable", unit: "ms", bound: 0.2 },
      { key: "block", what: "… longest block of the main thread", unit: "ms", bound: 1 },
    ],
    take: (lab, side) => timeAndBlock(lab, side, "fetchAll"),
  },
  {
    name: "edits",
    lines: [
      { key: "transactions", what: "1 000 edits of 1 000 items in one tick: transactions", unit: "", exactly: 1 },
      { key: "time", what: "… until durable (by hand: 1 000 puts in one transaction)", unit: "ms" },
      { key: "puts", what: "1 000 edits of one item in one tick: puts", unit: "", exactly: 1 },
    ],
    take: (lab, side) => lab.run(side, "edits", lab.database(), lab.rows),
  },
];

/** Twice, on two pages: once for the time alone, once with the main thread watched. */
async function timeAndBlock(lab, side, step) {
  const figures = {};
  for (const watched of [false, true]) {
    const database = lab.database();
    const { time, block } = await lab.run(side, step, database, lab.rows, watched);
    if (watched) figures.block = block;
    else figures.time = time;
    const kept = await lab.run(side, "countStored", database);
    if (kept !== lab.rows) throw new Error(`${side} ${step}: ${kept} of ${lab.rows} rows were stored`);
  }
  return figures;
}
