// What goes wrong here, before it becomes a `ConcordiaError`, and the limits in time.

/** `status` and `kind` are what a transporter's error has, for faults that middleware throws. */
export class Fault extends Error {
  constructor(code, message, { status, body, kind } = {}) {
    super(message);
    Object.assign(this, { code, status, body, kind });
  }
}

/** What may be said of an error of others: its name and code. Its message may hold what it failed at: the text that is no JSON,
 *  the state that could not be stored. */
export const labelOf = (error) => {
  const words = [error?.name, error?.code, error?.cause?.code].filter((word) => /^[\w.-]{1,40}$/.test(word ?? ""));
  return words.length > 0 ? ` (${words.join(", ")})` : "";
};

export const isThenable = (value) => typeof value?.then === "function";

/** Settles as the promise does; rejects with `over()` when that takes longer. */
export function limited(promise, ms, over) {
  let timer;
  const end = new Promise((_, reject) => {
    timer = setTimeout(() => reject(over()), ms);
  });
  return Promise.race([promise, end]).finally(() => clearTimeout(timer));
}

/** Settles later; a process that has nothing else to do does not wait for it. */
export const pause = (ms, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    if (signal) timer.unref?.();
    signal?.addEventListener("abort", resolve, { once: true });
  });
