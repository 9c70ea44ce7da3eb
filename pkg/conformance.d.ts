/**
 * Suites for whoever writes a transporter or a client storage of their own: cases for any test runner, or for none.
 *
 * ```js
 * import { test } from "node:test";
 * import { clientStorageSuite, transporterSuite } from "concordia/conformance";
 *
 * for (const { name, run } of transporterSuite({ make: () => new MyTransporter() })) test(name, run);
 * for (const { name, run } of clientStorageSuite({ make: () => new MyStorage() })) test(name, run);
 * ```
 *
 * A case speaks with the object as the engine does: `_prepareX`, the middleware, `_X`. Some go the whole way, through a store.
 */

import type { ClientStorageLike, StateStorage, TransporterLike } from "./index.js";

/** One thing that the object has to do. */
export interface ConformanceCase {
  /** A sentence that says what. */
  readonly name: string;
  /**
   * Asks `make` for a fresh object and tries it. Cases do not depend on each other, and can run at the same time.
   * @throws Rejects with an error whose message says what was expected, what came, and what to do about it.
   */
  run(): Promise<void>;
}

/** What both suites can be told. */
export interface ConformanceOptions {
  /**
   * The values of the n-th row, other ones for each n, with the same properties; without keys. A row that is edited gets those
   * of another n. Default: a few texts, numbers and booleans; then the case about values also tries objects, lists,
   * null, Unicode and large numbers.
   */
  readonly values?: (n: number) => Record<string, unknown>;
  /** Milliseconds that one call may take. Default 5 000. */
  readonly timeoutMs?: number;
}

/** A transporter together with what the suite can do with its endpoint. */
export interface TransporterUnderTest {
  readonly transporter: TransporterLike;
  /** The rows that are at the endpoint, found by another way than the transporter's. With it, the two are compared. */
  rows?(): Iterable<object> | Promise<Iterable<object>>;
  /** Called at the end of the case. */
  close?(): unknown;
}

/** What the transporter suite is told. */
export interface TransporterSuiteOptions extends ConformanceOptions {
  /** A transporter for an endpoint without rows, another one for each call. `init()` has settled before. */
  readonly make: () =>
    TransporterLike | TransporterUnderTest | Promise<TransporterLike> | Promise<TransporterUnderTest>;
  /** Name of the key in a row. Default `"id"`. */
  readonly key?: string;
  /** Who makes keys: the endpoint (default), the client, or the endpoint unless the client gives one. */
  readonly keys?: "server" | "client" | "both";
  /** Whether keys are numbers. Default false. */
  readonly numericKeys?: boolean;
  /** Whether the endpoint takes a create once for each `idempotencyKey`. Default false. */
  readonly idempotent?: boolean;
  /** The values of the case about values, for an endpoint that takes only some. Default: `values(1)` if that is given. */
  readonly difficultValues?: Record<string, unknown>;
}

/**
 * Cases for a transporter.
 * @example
 * const suite = transporterSuite({
 *   async make() {
 *     const server = await startServer();
 *     return { transporter: new MyTransporter(server.url), close: () => server.stop() };
 *   },
 *   values: (n) => ({ name: `Person ${n}`, age: n }),
 * });
 */
export function transporterSuite(options: TransporterSuiteOptions): ConformanceCase[];

/** A client storage together with what the suite can do with it. */
export interface ClientStorageUnderTest {
  readonly clientStorage: ClientStorageLike;
  /** Another object over what was stored by the first, as after a reload. Without it the same one is used on. */
  reopen?(): ClientStorageLike | Promise<ClientStorageLike>;
  /** Called at the end of the case. */
  close?(): unknown;
}

/** What the client storage suite is told. */
export interface ClientStorageSuiteOptions extends ConformanceOptions {
  /** A client storage without records, another one for each call. `init()` has settled before. */
  readonly make: () =>
    ClientStorageLike | ClientStorageUnderTest | Promise<ClientStorageLike> | Promise<ClientStorageUnderTest>;
  /** Whether stores share a storage, so that it has to keep their records apart by `queueItem.store`. Default true. */
  readonly severalStores?: boolean;
  /** With how many records it is tried. Default 1 000. */
  readonly count?: number;
}

/**
 * Cases for a client storage.
 * @example
 * const suite = clientStorageSuite({
 *   make() {
 *     const file = temporaryFile();
 *     return { clientStorage: new FileStorage(file), reopen: () => new FileStorage(file) };
 *   },
 * });
 */
export function clientStorageSuite(options: ClientStorageSuiteOptions): ConformanceCase[];

/** A state storage together with what the suite can do with it. */
export interface StateStorageUnderTest {
  readonly storage: StateStorage;
  /** Another object over what was stored by the first, as in another process. */
  reopen?(): StateStorage | Promise<StateStorage>;
  /** Called at the end of the case. */
  close?(): unknown;
}

/** What the state storage suite is told. */
export interface StateStorageSuiteOptions {
  /** A state storage without states, another one for each call. */
  readonly make: () => StateStorage | StateStorageUnderTest | Promise<StateStorage> | Promise<StateStorageUnderTest>;
  /** `"one"` for a storage that belongs to one user and does not look at the id, as one on `req.session` does. Default `"many"`. */
  readonly users?: "one" | "many";
  /** Whether `make` gives `reopen`. Default false. */
  readonly reopens?: boolean;
  /** Whether the storage has `lock`. Default false. */
  readonly locks?: boolean;
  /** Milliseconds that one call may take. Default 5 000. */
  readonly timeoutMs?: number;
}

/**
 * Cases for a state storage.
 * @example
 * for (const { name, run } of stateStorageSuite({ make: () => new MyStorage(freshDatabase()) })) test(name, run);
 */
export function stateStorageSuite(options: StateStorageSuiteOptions): ConformanceCase[];
