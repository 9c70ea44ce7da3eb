// The package's face: everything that is exported, and nothing else.
//
// Modules that no export comes from are imported here all the same: a browser that reads this file can then ask for all of
// them at once, instead of finding one behind the other.

import "./wasm/concordia.js";
import "./epoch.js";
import "./item.js";
import "./nested.js";

export { init as default } from "./page.js";
export { ConcordiaError } from "./error.js";
export { SOURCE, TARGET, constants } from "./constants.js";
export { Key, NumberKey, Schema, customTypes } from "./schema.js";
export { Store } from "./store.js";
export {
  BaseTransporter,
  ClientStorage,
  EmptyTransporter,
  HttpTransporter,
  IndexedDbClientStorage,
  Transporter,
} from "./transporter.js";
