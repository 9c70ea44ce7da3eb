// Middleware: what stands between a transporter's own methods and what they send and receive. Owns the lists, the order, and how
// the methods are called; what a request is belongs to `link.js`.

import { ConcordiaError } from "./error.js";

const METHODS = Object.freeze(["addItemToQueue", "send", "receive", "transmissionError"]);

/** Adds middleware to a list, or puts it in the place of the one that it `replaces`. */
export function place(list, middleware) {
  if (typeof middleware !== "object" || middleware === null)
    throw new ConcordiaError("E_OPTIONS", `a middleware is an object with any of ${METHODS.join(", ")}`);
  const { replaces } = middleware;
  if (replaces === undefined) return void list.push(middleware);
  const at = list.findIndex(({ name }) => name === replaces);
  if (at < 0)
    throw new ConcordiaError("E_OPTIONS", `the middleware replaces "${replaces}", but none of that name is there`);
  list[at] = middleware;
  return undefined;
}

/** A base class for middleware. Its `uniqueName` is the name by which another one can replace it. */
export class TransporterMiddleware {
  static uniqueName = "";
  static methods = METHODS;

  /** An instance in which only the named methods are called. */
  static build(args, ...methods) {
    const unknown = methods.find((method) => !METHODS.includes(method));
    if (unknown !== undefined)
      throw new ConcordiaError(
        "E_OPTIONS",
        `"${unknown}" is no method of a middleware; there are ${METHODS.join(", ")}`,
      );
    const built = new this(...(args ?? []));
    for (const method of METHODS)
      if (!methods.includes(method)) Object.defineProperty(built, method, { value: undefined });
    return built;
  }

  get name() {
    return this.constructor.uniqueName;
  }
}

/** The middleware of a transporter or a client storage: the class's, then the instance's own. */
export const middlewareOf = (end) => [...(end.constructor?.middleware ?? []), ...(end.ownMiddleware ?? [])];

/** Whether what a middleware gave back is its whole input rather than the one thing that it may change. */
const isInput = (result, input) =>
  result === input ||
  (typeof result === "object" && result !== null && Object.keys(input).every((name) => Object.hasOwn(result, name)));

/** Lets each middleware that has `method` change `input[field]`; what is left of it. Yields what may be a promise. `end` is
 *  the transporter that it stands before. */
export function* through(list, method, input, field, end) {
  let current = input;
  for (const middleware of list) {
    if (typeof middleware[method] !== "function") continue;
    let result;
    try {
      result = yield middleware[method](current, end);
    } catch (cause) {
      const name = middleware.name || "without a name";
      const message = `the middleware ${name} failed in ${method}: ${cause?.message ?? cause}`;
      throw Object.assign(new Error(message, { cause }), { isMiddleware: true });
    }
    if (result === undefined) result = current[field];
    else if (isInput(result, current)) result = result[field];
    current = { ...current, [field]: result };
  }
  return current[field];
}
