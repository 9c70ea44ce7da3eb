// Addresses: how a base, a path and an id become one. Owns joining, percent-encoding and templates; resolving against the
// page is the browser's `URL`.

/** Percent-encodes everything but the unreserved characters of RFC 3986, section 2.3. */
export const percentEncode = (text) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/** `base/path` with exactly one slash in between and none at the end. */
export const join = (base, path) => `${base.replace(/\/+$/, "")}/${path.replace(/^\/+|\/+$/g, "")}`;

/** Fills `:basePath` and `:id` into a template, in one pass, so that a `:id` inside the base path stays what it is. */
export const fill = (template, basePath, id) =>
  template.replace(/:(\w+)/g, (all, name) => (name === "basePath" ? basePath : name === "id" ? id : all));

/** Whether the template has the placeholder `:id`. */
export const hasId = (template) => /:id(?!\w)/.test(template);

/** Whether an id can be put into a path. `.` and `..` mean another resource even when percent-encoded (RFC 3986, section
 *  5.2.4), and the empty id means the collection. */
export const isSafeId = (id) => !["", ".", ".."].includes(id);
