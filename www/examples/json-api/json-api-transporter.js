/**
 * A transporter for servers that speak JSON:API (https://jsonapi.org/format/): the package's HttpTransporter with another
 * media type and another shape of bodies. An item's values are the resource's `attributes`, its key is the `id`.
 *
 *   {"title": "Emma", "year": 1815, "id": "7"}  ⇄  {"data": {"type": "books", "id": "7", "attributes": {"title": "Emma", "year": 1815}}}
 *
 * Relationships, `included` and pagination are left to whoever needs them.
 */
import { HttpTransporter, TransporterError } from "/concordia/index.js";

const MEDIA_TYPE = "application/vnd.api+json";

export class JsonApiTransporter extends HttpTransporter {
  /** A list of its own: what is added to it is not added to every HttpTransporter. */
  static middleware = [...HttpTransporter.middleware];

  #type;

  /** `type`: of the resources, and the path below `baseUrl` unless `path` says otherwise. The rest: HttpTransporterOptions. */
  constructor({ type, ...options }) {
    super({
      path: type,
      // The format knows updates as PATCH requests with the changed attributes only.
      update: "PATCH",
      rows: ({ data }) => data.map(rowOf),
      ...options,
      headers: { ...options.headers, Accept: MEDIA_TYPE },
    });
    this.#type = type;
  }

  async _prepareSend(queueItem) {
    const request = await super._prepareSend(queueItem);
    if (request.body === undefined) return request;
    return {
      ...request,
      headers: { ...request.headers, "Content-Type": MEDIA_TYPE },
      body: { data: resourceOf(this.#type, queueItem.id, request.body) },
    };
  }

  _send(request) {
    return withRow(super._send(request));
  }

  /** The rows have been taken out of the body by the option `rows`. */
  async _fetch(request) {
    return explained(super._fetch(request));
  }

  _fetchOne(request) {
    return withRow(super._fetchOne(request));
  }
}

/** `values` has the key, too, where the item has one; among the attributes it must not be. */
function resourceOf(type, id, { id: _id, ...attributes }) {
  return { type, ...(id !== undefined && { id: String(id) }), attributes };
}

const rowOf = ({ id, attributes }) => ({ ...attributes, id });

/** The answer with a row in the place of the document, if there is one: a delete is answered with nothing. */
async function withRow(answering) {
  const answer = await explained(answering);
  return answer.data ? { ...answer, data: rowOf(answer.data.data) } : answer;
}

/** An error whose body says with `title` and `detail`, as in RFC 9457, what the document says with its `errors`. */
async function explained(answering) {
  try {
    return await answering;
  } catch (error) {
    const errors = error.body?.errors;
    if (!Array.isArray(errors)) throw error;
    const { kind, status, retryAfterMs } = error;
    const detail = errors.map((one) => one.detail ?? one.title).join(" ");
    const body = { title: errors[0]?.title, detail, errors };
    throw new TransporterError(kind, { status, body, retryAfterMs, cause: error });
  }
}
