// What sessions and state storages do when they are used: a file of its own, so that a page which does not use them loads none of
// it. Owns its loading, and how its faults become errors.

import { ConcordiaError, toError } from "../error.js";

let loading;

/** `rest.js` and what it imports, built as one file beside `index.js`. */
export const loadRest = () =>
  (loading ??= import("./session.js").catch((cause) => {
    loading = undefined;
    throw new ConcordiaError("E_UNREACHABLE", "session.js, which belongs beside index.js, could not be loaded", {
      cause,
    });
  }));

/** Lets the larger half act; what it refuses is an error. */
export async function withRest(act) {
  try {
    return await act(await loadRest());
  } catch (fault) {
    throw fault instanceof ConcordiaError ? fault : toError(fault);
  }
}

/** A user's id as text: `1` and `"1"` are one user. */
export function userKey(userId) {
  if (typeof userId === "string" || Number.isFinite(userId)) return String(userId);
  throw new ConcordiaError("E_OPTIONS", "a user's id is a string or a number");
}

/** Demands an object that keeps states. */
export function demandStorage(storage) {
  for (const name of ["get", "set"])
    if (typeof storage?.[name] !== "function")
      throw new ConcordiaError(
        "E_OPTIONS",
        "`storage` must be an object with the methods get(userId) and set(userId, state)",
      );
  return storage;
}
