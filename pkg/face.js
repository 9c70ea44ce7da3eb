// The package's face: everything that is exported, and nothing else. The build makes `index.js` of it and of all that it
// imports, one file: a page then waits for one script and the module, and not for a dozen files one behind the other.

export { init as default } from "./page.js";
export { ConcordiaError } from "./error.js";
export { SOURCE, TARGET, constants } from "./constants.js";
export { Key, NumberKey, Schema, customTypes } from "./schema.js";
export { Store } from "./store.js";
export { Session } from "./session/session.js";
export { IndexedDbStateStorage, MemoryStateStorage, StateClientStorage } from "./session/state-storage.js";
export { TransporterError } from "./link.js";
export { HttpOfflineChecker } from "./offline-checker.js";
export { TransporterMiddleware } from "./middleware.js";
export {
  BaseTransporter,
  ClientStorage,
  EmptyTransporter,
  HttpTransporter,
  IndexedDbClientStorage,
  Transporter,
} from "./transporter.js";
