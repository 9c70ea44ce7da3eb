/**
 * A collection of rows with the habits that REST servers have, one switch for each. Knows nothing of sockets: `answer(request)`
 * gives `{ status, headers, body }`, and what the server did is what `rows()` says afterwards.
 *
 * Switches, all off at first:
 * - `keys`: a write with an `Idempotency-Key` that was seen before is not done again, its first answer is given again.
 * - `etags`: strong ETags, `If-Match` (412) and `If-None-Match` (304). `dates`: `Last-Modified` and its conditions instead.
 * - `required`: a write to a row without a condition is answered 428.
 * - `unique`: the name of a field; a second row with the same value in it is answered 409.
 * - `pageSize`: a list comes in pages, with RFC 8288 `Link` headers.
 * - `since`: a list is `{ rows, deleted, cursor }`, after `?since=` only what has changed.
 * - `refuses(row, id)`: whatever it returns is the body of a 422.
 */
const EPOCH = Date.UTC(2026, 0, 1);
const JSON_TYPE = { "Content-Type": "application/json" };

export class Collection {
  /** Every change, as `{ action, data }`: `data` is the row, or the id of one that is gone. */
  onChange = () => {};
  /** The switches. */
  is;
  #path;
  #rows = new Map();
  #gone = new Map();
  #answers = new Map();
  #revision = 0;
  #lastId = 0;

  constructor(path, { rows = [], ...habits } = {}) {
    this.#path = path;
    this.is = habits;
    for (const row of rows) this.put(row);
  }

  /** All rows, oldest first. */
  rows() {
    return [...this.#rows.values()].map(({ row }) => structuredClone(row));
  }

  row(id) {
    return structuredClone(this.#rows.get(String(id))?.row);
  }

  /** Somebody else makes or changes a row. */
  put(values) {
    const id = values.id === undefined ? this.#nextId() : String(values.id);
    this.#lastId = Math.max(this.#lastId, Number(id) || 0);
    return this.#keep(id, { ...values, id });
  }

  /** Somebody else changes fields of a row. */
  patch(id, values) {
    return this.#keep(String(id), { ...this.row(id), ...values });
  }

  /** Somebody else deletes a row. */
  remove(id) {
    this.#drop(String(id));
  }

  etag(id) {
    return `"${id}-${this.#rows.get(String(id))?.revision}"`;
  }

  /** Does what a request asks for. `applied`: whether it changed anything; `replayed`: whether it was known by its key. */
  answer(request) {
    const key = this.is.keys && request.method !== "GET" ? request.headers["idempotency-key"] : undefined;
    if (key === undefined) return this.#do(request);
    const print = `${request.method} ${request.path} ${JSON.stringify(request.body)}`;
    const known = this.#answers.get(key);
    if (known?.print === print) return { ...known.answer, applied: false, replayed: true };
    if (known) return problem(422, "This key stood for another request.", "idempotency-key-reused");
    const answer = this.#do(request);
    if (answer.applied) this.#answers.set(key, { print, answer });
    return answer;
  }

  #do(request) {
    const { method, id } = request;
    if (id === undefined) {
      if (method === "GET") return this.#list(request);
      return method === "POST" ? this.#create(request) : problem(405, "Not here.");
    }
    const known = this.#rows.get(id);
    if (!known) return problem(404, "There is no such row.");
    if (method === "GET") return this.#one(request, known);
    const refused = this.#unmet(request, known);
    if (refused) return refused;
    if (method === "DELETE") {
      this.#drop(id);
      return { status: 204, headers: {}, applied: true };
    }
    const values = method === "PATCH" ? { ...known.row, ...request.body } : { ...request.body };
    const wrong = this.is.refuses?.(values, id);
    if (wrong) return { status: 422, headers: { "Content-Type": "application/problem+json" }, body: wrong };
    return this.#written(200, id, { ...values, id });
  }

  #create({ body }) {
    const wrong = this.is.refuses?.(body, undefined);
    if (wrong) return { status: 422, headers: { "Content-Type": "application/problem+json" }, body: wrong };
    const { unique } = this.is;
    const isDouble = unique && this.rows().some((row) => row[unique] === body[unique]);
    if (isDouble) return problem(409, `There is a row with this ${unique}.`, "duplicate");
    const id = this.#nextId();
    const answer = this.#written(201, id, { ...body, id });
    return { ...answer, headers: { ...answer.headers, Location: `${this.#path}/${id}` } };
  }

  #written(status, id, row) {
    const kept = this.#keep(id, row);
    return { status, headers: { ...JSON_TYPE, ...this.#validators(id) }, body: kept, applied: true };
  }

  #one({ headers, id }, { row }) {
    const validators = this.#validators(id);
    if (isFresh(headers, validators)) return { status: 304, headers: validators };
    return { status: 200, headers: { ...JSON_TYPE, ...validators }, body: row };
  }

  #list({ headers, query }) {
    const { pageSize, since } = this.is;
    const validators = this.is.etags ? { ETag: `"list-${this.#revision}"` } : this.is.dates ? this.#dated() : {};
    if (isFresh(headers, validators)) return { status: 304, headers: validators };
    const after = since && query.has("since") ? Number(query.get("since")) : undefined;
    const all = [...this.#rows.values()].filter((known) => after === undefined || known.revision > after);
    const page = Number(query.get("page") ?? 1);
    const shown = pageSize ? all.slice((page - 1) * pageSize, page * pageSize) : all;
    const links = pageSize && page * pageSize < all.length ? { Link: this.#next(query, page) } : {};
    const rows = shown.map(({ row }) => row);
    const deleted = [...this.#gone].filter(([, revision]) => revision > (after ?? Infinity)).map(([id]) => id);
    const body = since ? { rows, deleted, cursor: String(this.#revision) } : rows;
    return { status: 200, headers: { ...JSON_TYPE, ...validators, ...links }, body, count: rows.length };
  }

  #next(query, page) {
    const next = new URLSearchParams(query);
    next.set("page", String(page + 1));
    return `<${this.#path}?${next}>; rel="next", <${this.#path}>; rel="first"`;
  }

  /** Why a write to a row may not be done: what its conditions say (RFC 9110 §13.1). */
  #unmet({ headers }, { revision, row }) {
    const match = headers["if-match"];
    const unmodified = headers["if-unmodified-since"];
    if (this.is.required && match === undefined && unmodified === undefined)
      return problem(428, "This server wants to know which version is changed.");
    if (this.is.etags && match !== undefined && match !== "*" && !match.split(/,\s*/).includes(this.etag(row.id)))
      return problem(412, "The row is not what it was.");
    if (this.is.dates && unmodified !== undefined && Date.parse(unmodified) < EPOCH + revision * 1000)
      return problem(412, "The row was changed since.");
    return undefined;
  }

  #validators(id) {
    if (this.is.etags) return { ETag: this.etag(id) };
    return this.is.dates ? this.#dated(this.#rows.get(id).revision) : {};
  }

  /** One second for each change, so that two are never the same. */
  #dated(revision = this.#revision) {
    return { "Last-Modified": new Date(EPOCH + revision * 1000).toUTCString() };
  }

  #nextId() {
    this.#lastId += 1;
    return String(this.#lastId);
  }

  #keep(id, row) {
    const action = this.#rows.has(id) ? "update" : "create";
    this.#revision += 1;
    const kept = structuredClone(row);
    this.#rows.set(id, { row: kept, revision: this.#revision });
    this.#gone.delete(id);
    this.onChange({ action, data: kept });
    return structuredClone(kept);
  }

  #drop(id) {
    this.#revision += 1;
    this.#rows.delete(id);
    this.#gone.set(id, this.#revision);
    this.onChange({ action: "delete", data: id });
  }
}

/** A refusal as RFC 9457 describes it. */
export function problem(status, detail, type = "about:blank") {
  return { status, headers: { "Content-Type": "application/problem+json" }, body: { type, status, detail } };
}

function isFresh(headers, validators) {
  if (headers["if-none-match"] !== undefined) return headers["if-none-match"] === validators.ETag;
  const since = headers["if-modified-since"];
  return since !== undefined && Date.parse(since) >= Date.parse(validators["Last-Modified"]);
}
