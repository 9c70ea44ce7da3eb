// The one error class, and how what the engine refuses becomes one.

/** Every error the package throws or rejects with. */
export class ConcordiaError extends Error {
  constructor(code, message, { status, body, cause } = {}) {
    super(`${code}: ${message}`, cause === undefined ? undefined : { cause });
    this.code = code;
    if (status !== undefined) this.status = status;
    if (body !== undefined) this.body = body;
  }
  get name() {
    return "ConcordiaError";
  }
}

/** A body is kept as text; JSON (RFC 8259, and with it problem+json, RFC 9457) is handed out parsed. */
export function readBody(text) {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** `{code, message, status?, body?}` as an error; undefined stays undefined. */
export function toError(fault) {
  if (fault === undefined) return undefined;
  if (typeof fault?.code !== "string") return new ConcordiaError("E_POISONED", POISONED, { cause: fault });
  return new ConcordiaError(fault.code, fault.message, { status: fault.status, body: readBody(fault.body) });
}

/** What was thrown, in words, whatever it is. */
export function wordsOf(thrown) {
  try {
    return String(thrown?.message ?? thrown);
  } catch {
    return "something that has no words was thrown";
  }
}

export const POISONED = "the engine has failed and has stopped, so that nothing is damaged; reload the page";
