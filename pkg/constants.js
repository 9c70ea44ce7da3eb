// harmonized.js's constants, and their plain names.

import { ConcordiaError } from "./error.js";

const named = (name) => Object.freeze({ name });

export const SOURCE = Object.freeze({
  STATE: named("state"),
  TRANSPORTER: named("transporter"),
  CLIENT_STORAGE: named("clientStorage"),
});
export const TARGET = Object.freeze({ TRANSPORTER: SOURCE.TRANSPORTER, CLIENT_STORAGE: SOURCE.CLIENT_STORAGE });
export const constants = Object.freeze({ SOURCE, TARGET });

const NAMES = ["state", "transporter", "clientStorage"];

function nameOf(constant, fallback) {
  if (constant === undefined) return fallback;
  const name = typeof constant === "object" ? constant?.name : constant;
  if (NAMES.includes(name)) return name;
  throw new ConcordiaError("E_OPTIONS", 'a source or target is "state", "transporter" or "clientStorage"');
}

/** Whether values come from the server. From client storage they are an edit like the app's own. */
export const fromServer = (source) => nameOf(source, "state") === "transporter";

export const isTransporter = (target) => nameOf(target, "transporter") === "transporter";

/** Whether a key is client storage's. */
export const inClientStorage = (source) => nameOf(source, "transporter") === "clientStorage";
