/** How a read goes on: the header Link (RFC 8288), pages and cursors that a server names, whatever they say. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import fc from "fast-check";
import init, { HttpTransporter, Schema, Store } from "../../pkg/index.js";
import { nextLink } from "../../pkg/paging.js";
import { isUnicode, jsonText, text } from "./support/foreign.js";
import { holds } from "./support/fuzz.js";
import { answering } from "./support/server.js";

const API = "http://api.example";

before(() => init());

let server, answers;

before(() => {
  server = answering(() => answers.shift() ?? { text: "[]" });
});
after(() => server.restore());

const space = fc.constantFrom("", "", " ", "\t ");
const target = fc.oneof(
  fc.constantFrom("/people?page=2", "?page=3", "http://elsewhere.example/", "", "../x", "a,b;c", "<a", "//x"),
  fc.webUrl(),
  fc.string({ unit: "grapheme-ascii", maxLength: 12 }).filter((one) => !one.includes(">")),
);
const relation = fc.constantFrom("next", "NEXT", "prev next", "prev", "nextish", "x-next", "", "next\tlast");
const parameter = fc.oneof(
  fc.tuple(fc.constantFrom("rel", "Rel", "rel*"), relation),
  fc.tuple(
    fc.constantFrom("title", "anchor", "type", "a!b"),
    fc.oneof(fc.constantFrom('</x>; rel="next"', "a, b", '"', "\\"), fc.string({ maxLength: 8 })),
  ),
);
const link = fc.record({ target, parameters: fc.array(fc.tuple(parameter, space, space), { maxLength: 4 }) });

const isToken = (value) => /^[\w!#$%&'*+.^`|~/:-]+$/.test(value);
const written = (value) => (isToken(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`);

const asText = ({ target: to, parameters }) =>
  `<${to}>${parameters.map(([[name, value], ahead, behind]) => `${ahead};${behind}${name}=${written(value)}`).join("")}`;

/** The first value of a parameter. */
const valueOf = ({ parameters }, name) => parameters.find(([[one]]) => one.toLowerCase() === name)?.[0][1];

const isNext = (one) =>
  (valueOf(one, "rel") ?? "").toLowerCase().split(/\s+/).includes("next") && valueOf(one, "anchor") === undefined;

test("of links that are written as they should be the first to the next page is found", async (t) => {
  let found = 0;
  await holds(t, 6_000, fc.array(link, { maxLength: 4 }), fc.constantFrom(",", ", ", " , ", ",,"), (links, comma) => {
    const expected = links.find(isNext)?.target;
    if (expected !== undefined) found++;
    assert.equal(nextLink(links.map(asText).join(comma)), expected);
  });
  assert.ok(found > 1_000, `${found} were found`);
});

test("of any other text nothing is found, or something that stands there between < and >", async (t) => {
  const piece = fc.oneof(
    fc.constantFrom("<", ">", ";", ",", "rel=next", '"', "\\", 'rel="next"', "=", " ", "anchor"),
    text,
  );
  await holds(t, 5_000, fc.array(piece, { maxLength: 20 }), (pieces) => {
    const header = pieces.join("");
    const next = nextLink(header);
    if (next !== undefined) assert.ok(header.includes(`<${next}>`) && /next/i.test(header));
  });
});

test("256 KiB of any link header are read in no time", async (t) => {
  const unit = fc.array(fc.constantFrom("<", ">", "<>", ";", ";a", '="', "\\", '"', " ", "\t", ",", "rel=next", "=x"), {
    minLength: 1,
    maxLength: 5,
  });
  await holds(t, 40, unit, fc.array(unit, { maxLength: 2 }), (units, end) => {
    const header =
      units
        .join("")
        .repeat(1 << 18)
        .slice(0, 1 << 18) + end.flat().join("");
    let best = Infinity;
    for (let nth = 0; nth < 5 && best > 500; nth++) {
      const started = performance.now();
      nextLink(header);
      best = Math.min(best, performance.now() - started);
    }
    assert.ok(best < 500, `${units.join("")} …: ${best} ms`);
  });
});

/** A header can hold no more than this. */
const isHeader = (value) => /^[\t\x20-\x7e\xa0-\xff]*$/.test(value);

test("the next page is one of the same server, or cannot be asked for", async (t) => {
  const http = new HttpTransporter({ baseUrl: `${API}/v1`, path: "people", pages: "link" });
  const req = http._prepareFetch();
  const given = fc.oneof(target, text).filter((one) => isHeader(one) && !one.includes(">"));
  await holds(t, 1_200, given, async (to) => {
    answers = [{ text: "[]", headers: { Link: `<${to}>; rel=next` } }];
    const { next } = await http._fetch(req);
    const expected = URL.canParse(to, req.url) ? new URL(to, req.url) : undefined;
    if (to === "") assert.equal(next, undefined);
    else if (expected?.origin !== API || expected.username + expected.password !== "") assert.equal(next, null);
    else assert.equal(next, expected.href.split("#")[0]);
  });
});

test("whatever pages, cursors and deletions a server names, a read comes to an end and asks nobody else", async (t) => {
  const says = fc.record({
    link: fc
      .oneof(
        target,
        fc.nat(5).map((page) => `?page=${page}`),
      )
      .filter((one) => isHeader(one) && !one.includes(">")),
    body: fc.oneof(
      jsonText,
      fc
        .tuple(jsonText, jsonText, jsonText)
        .map(([rows, cursor, deleted]) => `{"rows":${rows},"cursor":${cursor},"deleted":${deleted}}`),
    ),
    status: fc.constantFrom(200, 200, 200, 206, 304, 404, 500),
  });
  let nth = 0;
  await holds(t, 150, fc.array(says, { maxLength: 5 }), fc.constantFrom("link", "body"), async (pages, side) => {
    answers = pages.map(({ link: to, body, status }) => ({
      status,
      text: status === 304 ? null : body,
      headers: { Link: `<${to}>; rel="next"` },
    }));
    const transporter = new HttpTransporter({
      baseUrl: `http://api-${++nth}.example`,
      path: "people",
      pages: side === "link" ? "link" : (res, body) => body.cursor,
      rows: (body) => body.rows ?? body,
      deleted: (body) => body.deleted,
      since: { param: "since", from: (res, body) => body.cursor },
    });
    const earlier = server.log.length;
    const store = new Store({ schema: new Schema({ name: String }), transporter });
    await store.fetch().catch((error) => assert.match(error.code, /^E_/));
    for (const [method, url] of server.log.slice(earlier)) {
      assert.equal(method, "GET");
      assert.equal(new URL(url).origin, transporter.origin);
    }
    await store.close();
  });
});

test("a cursor is shown to the server as it was given", async (t) => {
  const cursors = text.filter((one) => one !== "" && isUnicode(one));
  const since = { param: "a&b", from: (res, body) => body.cursor };
  let nth = 0;
  await holds(t, 150, cursors, async (cursor) => {
    const transporter = new HttpTransporter({
      baseUrl: `http://cursor-${++nth}.example`,
      path: "people",
      since,
      rows: (body) => body.rows,
    });
    answers = [{ text: JSON.stringify({ rows: [], cursor }) }, { text: JSON.stringify({ rows: [] }) }];
    const store = new Store({ schema: new Schema({ name: String }), transporter });
    await store.onceLoaded();
    await store.fetch();
    const url = new URL(server.log.at(-1)[1]);
    assert.deepEqual(
      [url.origin, url.pathname, [...url.searchParams]],
      [transporter.origin, "/people", [["a&b", cursor]]],
    );
    await store.close();
  });
});
