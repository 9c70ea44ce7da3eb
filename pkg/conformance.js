// Conformance suites for whoever writes a transporter, a client storage or a state storage of their own: cases for any test runner. Owns what
// such an object has to do, and the sentence for what it does not do.
//
// Each case gets an empty endpoint, speaks with the object as the engine does (`_prepareX`, middleware, `_X`) or through a real
// store, and rejects with an error that says what was expected, what came, and what to do about it.

export { transporterSuite } from "./conformance/transporter.js";
export { clientStorageSuite } from "./conformance/client-storage.js";
export { stateStorageSuite } from "./conformance/state-storage.js";
