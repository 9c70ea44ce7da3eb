// The two ends of a store as page script makes them.

import { database, httpPath, httpTransporter } from "./wasm/concordia.js";
import { ConcordiaError } from "./error.js";
import { calling, demandReady } from "./page.js";

/** What transporters and client storages have in common. */
export class BaseTransporter {}

/** An end that leads to a server. */
export class Transporter extends BaseTransporter {}

/** An end that leads to a local database. */
export class ClientStorage extends BaseTransporter {}

/** No end at all: that target does not exist. */
export class EmptyTransporter extends BaseTransporter {}

/** A REST server, reached by `fetch`. */
export class HttpTransporter extends Transporter {
  static baseUrl;
  #number;

  constructor(options) {
    demandReady();
    super();
    const baseUrl = options?.baseUrl ?? new.target.baseUrl;
    this.#number = calling(() => httpTransporter({ ...options, ...(baseUrl === undefined ? {} : { baseUrl }) }));
  }

  /** The engine's number and the default name; for the package's own use. */
  static open(transporter) {
    return { number: transporter.#number, path: httpPath(transporter.#number) };
  }
}

/** The browser's own database. */
export class IndexedDbClientStorage extends ClientStorage {
  #number;

  constructor(options = {}) {
    demandReady();
    super();
    const { database: name = "concordia", durability = "relaxed" } = options;
    if (durability !== "relaxed" && durability !== "strict")
      throw new ConcordiaError("E_OPTIONS", '`durability` is "relaxed" or "strict"');
    if (typeof name !== "string") throw new ConcordiaError("E_OPTIONS", "`database` must be a name");
    this.#number = calling(() => database(name, durability === "strict"));
  }

  /** The engine's number; for the package's own use. */
  static open(storage) {
    return storage.#number;
  }
}

const later = (what) =>
  new ConcordiaError(
    "E_OPTIONS",
    `\`${what}\` must be one of the package's own classes; your own come in a later version`,
  );

/** `{number, path}` of a store's transporter; nothing for none. */
export function openTransporter(transporter) {
  if (transporter === undefined || transporter instanceof EmptyTransporter) return undefined;
  if (transporter instanceof HttpTransporter) return HttpTransporter.open(transporter);
  throw later("transporter");
}

/** The number of a store's client storage; nothing for none. */
export function openClientStorage(storage) {
  if (storage === undefined || storage instanceof EmptyTransporter) return undefined;
  if (storage instanceof IndexedDbClientStorage) return IndexedDbClientStorage.open(storage);
  throw later("clientStorage");
}
