// How a case fails: what was expected, what came, and what to do about it, in one sentence each.

export class ConformanceError extends Error {
  get name() {
    return "ConformanceError";
  }
}

export function fail(expected, came, remedy, cause) {
  const message = `expected: ${expected}. What came: ${came}. What to do: ${remedy}.`;
  throw new ConformanceError(message, cause === undefined ? undefined : { cause });
}

export function demand(holds, expected, came, remedy) {
  if (!holds) fail(expected, typeof came === "function" ? came() : came, remedy);
}

const LONGEST_SHOWN = 200;

/** A value in words, whatever it is. */
export function show(value) {
  let text;
  try {
    if (isError(value)) text = `${value.name}: ${value.message}${value.kind ? ` (kind "${value.kind}")` : ""}`;
    else text = typeof value === "object" || typeof value === "string" ? JSON.stringify(value) : String(value);
  } catch {
    text = `a ${typeof value} that cannot be shown`;
  }
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
}

export const isError = (value) => value instanceof Error || Object.prototype.toString.call(value) === "[object Error]";
export const isObject = (value) => typeof value === "object" && value !== null;
export const isRow = (value) => isObject(value) && !Array.isArray(value);

/** Where two values differ, as sentences; `more`: the second may have properties that the first has not. */
export function differences(expected, actual, path, more = false) {
  if (Object.is(expected, actual) || (expected === 0 && actual === 0)) return [];
  // JSON has no dates: their text says the same.
  if (expected instanceof Date)
    return String(new Date(actual).getTime()) === String(expected.getTime()) ? [] : [differs(path, expected, actual)];
  const sameForm = isObject(expected) && isObject(actual) && Array.isArray(expected) === Array.isArray(actual);
  if (!sameForm) return [differs(path, expected, actual)];
  const added = more ? [] : Object.keys(actual).filter((name) => !Object.hasOwn(expected, name));
  return [
    ...Object.keys(expected).flatMap((name) =>
      Object.hasOwn(actual, name) || expected[name] === undefined
        ? differences(expected[name], actual[name], `${path}.${name}`)
        : [`${path}.${name} is missing (it was ${show(expected[name])})`],
    ),
    ...added
      .filter((name) => actual[name] !== undefined)
      .map((name) => `${path}.${name} is ${show(actual[name])}, and was not given`),
  ];
}

const differs = (path, expected, actual) => `${path} is ${show(actual)}, not ${show(expected)}`;

export function demandSame(expected, actual, path, what, remedy, more = false) {
  const found = differences(expected, actual, path, more);
  demand(found.length === 0, what, () => found.slice(0, 3).join("; "), remedy);
}

/** The same entries, whatever their order. */
export function demandList(expected, actual, what, remedy) {
  const [wanted, came] = [expected, actual].map((list) => show([...list].sort()));
  demand(wanted === came, `${what}: ${wanted}`, came, remedy);
}
