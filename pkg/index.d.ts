/**
 * Offline-first item stores for web apps, over the REST API they already have.
 *
 * Words: a store has two TARGETS, the `transporter` (a server) and the `clientStorage` (a local database). An item has
 * three keys: `__id` (of this page, made here, never changes), `_id` (of the client storage) and `id` (of the
 * transporter; made by the server, unless the app gives one). `_id` and `id` are the default names; a schema can rename
 * them.
 *
 * ```js
 * import init, { Schema, Store, HttpTransporter, IndexedDbClientStorage } from "concordia";
 *
 * await init();
 * const people = new Store({
 *   schema: new Schema({ properties: { firstName: String, age: Number } }),
 *   transporter: new HttpTransporter({ baseUrl: "/api", path: "people" }),
 *   clientStorage: new IndexedDbClientStorage(),
 * });
 * await people.onceLoaded();
 * const ada = people.create({ firstName: "Ada", age: 36 }); // in `people.items` at once
 * ada.age = 37; // saved, and sent when the server can be reached
 * await ada.onceSynced();
 * ```
 *
 * Every error that is thrown, and every rejection, is a {@link ConcordiaError} with a stable `code`.
 */

// Only what says `export` is exported.
export {};

// -------------------------------------------------------------------------------------------------------------- start

/**
 * Loads the WebAssembly module. To be awaited once before anything else of the package is constructed; later calls return
 * the same promise.
 *
 * @param input Where the module comes from: a URL, a `Response`, bytes or a compiled module. Default: the file that lies
 *   beside this one (under Node it is read from disk).
 * @returns Settles when the package can be used. Rejects when the module cannot be had; a later call then tries again.
 * @throws {ConcordiaError} Everything else of the package throws `E_NOT_INITIALISED` until the promise has settled.
 * @example
 * import init from "concordia";
 * await init();
 * @example
 * // A bundler that hands out asset URLs:
 * import wasmUrl from "concordia/wasm/concordia_bg.wasm?url";
 * await init(wasmUrl);
 */
export default function init(input?: InitInput | Promise<InitInput>): Promise<void>;

/** What {@link init} takes. */
export type InitInput = string | URL | Request | Response | BufferSource | WebAssembly.Module;

// ------------------------------------------------------------------------------------------------------------- schema

/**
 * Marks a property as a key that is text, for instance a UUID.
 * @example new Schema({ properties: { id: { type: Key, primary: true }, name: String } })
 */
export class Key {
  private constructor();
  private readonly keyKind: "text";
}

/**
 * Marks a property as a key that is a number, for instance an auto-incremented one.
 * @example new Schema({ properties: { id: { type: NumberKey, primary: true }, name: String } })
 */
export class NumberKey {
  private constructor();
  private readonly keyKind: "number";
}

/** Both key types in one object, the name under which harmonized.js exports them. */
export const customTypes: { readonly Key: typeof Key; readonly NumberKey: typeof NumberKey };

/**
 * The primary key, the key of something else, or, with `ref`, a reference to an item.
 * @example const id = { type: NumberKey, primary: true, key: "personId", _key: "_personId" };
 * @example
 * const posts = new Store({
 *   schema: new Schema({
 *     properties: {
 *       title: String,
 *       author: { type: Key, key: "authorId", ref: people },
 *       tags: { type: Array, items: { type: Key, key: "tagIds", ref: tags } },
 *       answers: { type: Key, key: "answersId", ref: "self" },
 *     },
 *   }),
 * });
 * // Sent when the server has given the author a key, with that as `authorId`.
 * posts.create({ title: "Hello", author: people.create({ name: "Ada" }) });
 */
export interface KeyDefinition {
  readonly type: typeof Key | typeof NumberKey;
  /** Name of the key on the transporter's side. Default `"id"`; with `ref` the property's own, and it may be a path (`"links.ownerId"`). */
  readonly key?: string;
  /** Name on the client storage's side. Default `_` + `key`. Must differ from `key`, or `E_SCHEMA` is thrown. */
  readonly _key?: string;
  /**
   * One property may be primary, or `E_SCHEMA` is thrown. Without one it is the key that is named `id`; without that,
   * `{ type: Key, key: "id", _key: "_id", primary: true }` is added.
   */
  readonly primary?: boolean;
  /**
   * The property holds an item of this store; `"self"` is the store whose schema it is, and a function is called when the store is
   * first needed, for stores that are created later. It takes such an item, `null` or nothing, and throws `E_TYPE` for
   * anything else; it reads as `null` while the item is not here, and when it is gone.
   *
   * The server is sent the item's key, client storage is given its own. An edit that refers to an item which the server has not yet
   * taken waits for it (`pending()` says `"waiting"`), also after a reload. If the item is removed or given up before, the reference
   * becomes `null`. An item that the server's rows refer to and that is not here is fetched, as by `findOneOrFetch`.
   */
  readonly ref?: Store<any> | "self" | (() => Store<any>);
}

/** A value that is no list, no nested object and no key. */
export interface ValueDefinition {
  readonly type: StringConstructor | NumberConstructor | BooleanConstructor | DateConstructor;
  readonly required?: boolean;
  readonly observable?: boolean;
  /** The value of an item that is created without one. */
  readonly default?: unknown;
}

/** A list. Without `items` its elements can be anything that can be cloned. */
export interface ListDefinition {
  readonly type: ArrayConstructor;
  readonly items?: PropertyDefinition;
}

/** An object within the item, edited and merged as one value. */
export interface NestedDefinition {
  readonly type?: ObjectConstructor;
  readonly properties: Readonly<Record<string, PropertyDefinition>>;
}

/**
 * The type of one property: a constructor, a key type, or an object that says more.
 * @example
 * const properties = {
 *   name: String,
 *   born: { type: Date },
 *   tags: { type: Array, items: String },
 *   address: { properties: { street: String, city: String } },
 * };
 */
export type PropertyDefinition =
  | StringConstructor
  | NumberConstructor
  | BooleanConstructor
  | DateConstructor
  | ObjectConstructor
  | ArrayConstructor
  | typeof Key
  | typeof NumberKey
  | KeyDefinition
  | ValueDefinition
  | ListDefinition
  | NestedDefinition;

/** What a {@link Schema} is made from. At most 128 properties. */
export interface SchemaDefinition {
  readonly properties?: Readonly<Record<string, PropertyDefinition>>;
  /** Names of properties (dot paths allowed) that get an index in memory. Taken, but without effect in this version. */
  readonly indexes?: readonly string[];
  /**
   * Version of the stored shape (default 1), and how to bring older rows and older queued edits to it, one step at a
   * time: `migrations[2](row)` brings 1 to 2. Each step from 2 on is needed, or `E_SCHEMA` is thrown.
   *
   * `row` is a plain object of its own with the stored values, `id` and `_id` (which stay what they are); what is returned has the new
   * properties. It is called when stored rows are loaded, and for an item with unsent edits also with what the server holds and with
   * what was sent, so it has to give the same for the same row. A property that differs between them afterwards is edited.
   * A row for which it throws is set apart (`E_QUARANTINED`).
   *
   * Rows that a newer version has stored are not touched: `status.storageError` is then `E_NEWER_VERSION`, and this page works in memory.
   * @example
   * new Schema({
   *   version: 2,
   *   properties: { name: String },
   *   migrations: { 2: ({ first, last, ...row }) => ({ ...row, name: `${first} ${last}` }) },
   * });
   */
  readonly version?: number;
  readonly migrations?: Readonly<Record<number, (row: any) => any>>;
  /**
   * Any validator that follows Standard Schema (https://standardschema.dev; zod, valibot, arktype …), run on every local edit, before it
   * takes effect, on all values of the item as they would be; keys are left out. What it does not accept throws `E_VALIDATION` with
   * the paths, and nothing has changed; values that it changes are taken. An asynchronous one is refused with `E_SCHEMA` at its first use.
   * @example
   * new Schema({ properties: { age: Number }, validate: z.object({ age: z.number().min(0) }) });
   */
  readonly validate?: StandardSchemaV1;
}

/** The part of Standard Schema, version 1, that is used. */
export interface StandardSchemaV1 {
  readonly "~standard": { validate(value: unknown): any };
}

/** The short form of a schema: the properties alone. */
export type ShorthandDefinition = Readonly<Record<string, PropertyDefinition>>;

// Carries the type of the values; exists for the compiler only.
declare const VALUES: unique symbol;

/**
 * Says which properties the items of a store have, and of which type. A property that is not in the schema is not
 * taken: not from the app, not from the server.
 *
 * Values are typed from the definition: `age: Number` makes `item.age` a `number`.
 *
 * @throws {ConcordiaError} `E_NOT_INITIALISED` before `init()` has settled; `E_SCHEMA` for a definition without sense:
 *   an unknown type, two primary keys, `key` equal to `_key`, a name that items use themselves (`update`, `synced` …),
 *   more than 128 properties.
 * @example
 * const person = new Schema({ properties: { firstName: String, age: Number } });
 * const short = new Schema({ firstName: String, age: Number });
 */
export const Schema: SchemaConstructor;
export interface Schema<D = any> {
  /** For the compiler only: the type of the values. */
  readonly [VALUES]: ValuesOf<D>;
}

/** What `new Schema(…)` takes: a whole definition, or the properties alone. */
export interface SchemaConstructor {
  new <const D extends SchemaDefinition>(definition: D): Schema<D>;
  new <const D extends ShorthandDefinition>(definition: D): Schema<D>;
  readonly prototype: Schema;
}

/**
 * The values of one row as a schema describes it; give it a definition or a schema.
 * @example
 * const schema = new Schema({ properties: { firstName: String } });
 * type Person = ValuesOf<typeof schema>; // { firstName: string; readonly id: string; readonly _id: string }
 */
export type ValuesOf<D> = 0 extends 1 & D
  ? any
  : D extends Schema<infer E>
    ? ValuesOf<E>
    : D extends { readonly properties: infer P }
      ? RowOf<P>
      : D extends ShorthandDefinition
        ? RowOf<D>
        : never;

/** The type of one property's value. A property that is not `required` can be missing at run time. */
export type ValueOf<P> = P extends { readonly ref: infer S }
  ? ReferredBy<S>
  : P extends StringConstructor
    ? string
    : P extends NumberConstructor
      ? number
      : P extends BooleanConstructor
        ? boolean
        : P extends DateConstructor
          ? Date
          : P extends ArrayConstructor
            ? unknown[]
            : P extends ObjectConstructor
              ? Record<string, unknown>
              : P extends typeof Key
                ? string
                : P extends typeof NumberKey
                  ? number
                  : P extends { readonly properties: infer Q }
                    ? { -readonly [K in keyof Q]: ValueOf<Q[K]> }
                    : P extends { readonly type: ArrayConstructor; readonly items: infer I }
                      ? ValueOf<I>[]
                      : P extends { readonly type: infer T }
                        ? ValueOf<T>
                        : unknown;

type ReferredBy<S> =
  S extends Store<infer V> ? Item<V> | null : S extends () => Store<infer V> ? Item<V> | null : Item<any> | null;

type Marked<P> = { [K in keyof P]: P[K] extends { readonly primary: true } ? K : never }[keyof P];
type KeyType = typeof Key | typeof NumberKey | { readonly type: typeof Key | typeof NumberKey };
type PrimaryNames<P> = [Marked<P>] extends [never]
  ? P extends { readonly id: KeyType }
    ? Extract<keyof P, "id">
    : never
  : Marked<P>;
type DefaultKey = { readonly type: typeof Key };
type RowOf<P> = Flat<
  { -readonly [K in Exclude<keyof P, PrimaryNames<P>>]: ValueOf<P[K]> } & Omit<
    KeysOf<[PrimaryNames<P>] extends [never] ? DefaultKey : P[PrimaryNames<P>]>,
    Exclude<keyof P, PrimaryNames<P>>
  >
>;
type Flat<T> = T extends infer U ? { [K in keyof U]: U[K] } : never;
type KeyNameOf<K> = K extends { readonly key: infer N extends string } ? N : "id";
type StorageKeyNameOf<K> = K extends { readonly _key: infer N extends string } ? N : `_${KeyNameOf<K>}`;
type KeysOf<K> = K extends typeof NumberKey | { readonly type: typeof NumberKey }
  ? { readonly [N in KeyNameOf<K>]: number } & { readonly [N in StorageKeyNameOf<K>]: string | number }
  : { readonly [N in KeyNameOf<K>]: string } & { readonly [N in StorageKeyNameOf<K>]: string };

// -------------------------------------------------------------------------------------------------------------- store

/** Where a change comes from: the app (`"state"`, the default of every method), the server, or the local database. */
export type SourceName = "state" | "transporter" | "clientStorage";

/** The sources, as harmonized.js names them. Every method that takes one also takes its plain name. */
export const SOURCE: { readonly STATE: object; readonly TRANSPORTER: object; readonly CLIENT_STORAGE: object };

/** The targets, as harmonized.js names them. Every method that takes one also takes its plain name. */
export const TARGET: { readonly TRANSPORTER: object; readonly CLIENT_STORAGE: object };

/** {@link SOURCE} and {@link TARGET} in one object. */
export const constants: { readonly SOURCE: typeof SOURCE; readonly TARGET: typeof TARGET };

/** A {@link SOURCE}, or its plain name. */
export type Source = SourceName | object;

/** A {@link TARGET}, or its plain name. */
export type Target = "transporter" | "clientStorage" | object;

/** What a {@link Store} is made from. `S` is the schema's type. */
export interface StoreOptions<V = any, S = Schema> {
  readonly schema: S;
  /** Default: `new EmptyTransporter()`, that is, there is no server. */
  readonly transporter?: TransporterLike;
  /** Default: `new EmptyTransporter()`, that is, there is no local database: `status.durable` is false. */
  readonly clientStorage?: ClientStorageLike;
  /** Names the store's rows in client storage; unique in the page. Default: the `path` of the HttpTransporter. */
  readonly name?: string;
  readonly options?: {
    /** Save on every assignment to a property of the schema. Default true. */
    readonly autoSave?: boolean;
    /**
     * What to do when the server holds a newer version of an item that was edited here. Default `"merge"`: field by
     * field; a field that was edited here keeps the edit.
     *
     * A conflict is a field that was edited here and has another value there: fields that only one side changed are merged without
     * asking. `"local"` does as `"merge"` does; `"remote"` takes the server's value of such a field, and gives the edit of it up. A
     * function is asked once for each conflict, and may answer with values, `"local"` or `"remote"`; the edit waits meanwhile, and
     * what is edited meanwhile is newer than its word. If it throws, or answers anything else, the edit is parked as `E_CONFLICT`.
     * An item that is removed here and was changed there is a conflict too (`local` is empty): `"remote"` brings it back.
     *
     * Conflicts come to light when the server answers 412 or 409, and when a read shows the server's row while an edit waits.
     *
     * @example
     * onConflict: ({ base, local, remote }) => ({ stock: remote.stock + local.stock - base.stock })
     */
    readonly onConflict?:
      | "merge"
      | "local"
      | "remote"
      | ((conflict: Conflict<V>) => Partial<V> | "local" | "remote" | Promise<Partial<V> | "local" | "remote">);
    /**
     * A create whose answer was lost, on a server without idempotency keys. `"retry"` sends it again, which may make two of it.
     * `"ask"` reads the collection first: if the answer is complete and no row looks like the item, it is sent again; else it is
     * parked as `E_UNCERTAIN`, for `retry()` or `discard()`. Default `"retry"`.
     */
    readonly onUncertainCreate?: "retry" | "ask";
  };
}

/** The three sides of a merge. */
export interface Conflict<V = any> {
  readonly item: Item<V>;
  /** What the server held of the edited properties when they were edited. */
  readonly base: Partial<V>;
  /** The edited properties as they are here; empty for an item that was removed here. */
  readonly local: Partial<V>;
  /** What the server holds now. */
  readonly remote: Partial<V>;
  /** The HTTP status that told of the conflict: 409, 412, 428, or 200 for a read. */
  readonly status: number;
}

/**
 * Items of one kind: kept in memory, in the client storage and on the server, and brought into agreement.
 *
 * Construction starts to load: first what is stored here, then what the server holds. An edit shows in `items` at once, is
 * stored in one transaction with all other edits of its tick, and is sent after that transaction has been committed.
 *
 * @throws {ConcordiaError} `E_NOT_INITIALISED` before `init()` has settled; `E_OPTIONS` without a schema, for options
 *   without sense, or for a name that is taken.
 * @example
 * const people = new Store({
 *   schema: new Schema({ properties: { firstName: String, age: Number } }),
 *   transporter: new HttpTransporter({ baseUrl: "/api", path: "people" }),
 *   clientStorage: new IndexedDbClientStorage(),
 * });
 */
export class Store<V = any> {
  /** The type of the values comes from the schema. */
  constructor(options: StoreOptions<V, { readonly [VALUES]: V }>);
  /** With the values' type written out: `new Store<Person>({ … })`. */
  constructor(options: StoreOptions<V>);

  /** The name under which the rows lie in client storage. */
  readonly name: string;

  /** All items that are not removed, in a stable order. The same array until something changes. */
  readonly items: ReadonlyArray<Item<V>>;

  /** Whether {@link Store.onceLoaded} has settled. */
  readonly loaded: boolean;

  /** As `loaded`. */
  isLoaded(): boolean;

  /**
   * Settles when the stored rows and, if the server can be reached, the first fetch are in the store, and the items that they
   * refer to are in theirs.
   *
   * A server that is unreachable or answers with an error does not make it reject when there is a client storage that
   * could be read: `status.lastError` says what happened.
   *
   * @throws {ConcordiaError} Rejects with the fetch's error when nothing could be loaded from anywhere, and with `E_CLOSED`
   *   when the store is closed before.
   * @example
   * await people.onceLoaded();
   * console.log(people.items.length, people.status.connection);
   */
  onceLoaded(): Promise<void>;

  /**
   * Makes an item. It is in `items` on return.
   *
   * @param values The item's values; what is not in the schema is not taken.
   * @param source `"state"` (default): a new item, to be stored and sent. `"transporter"`: a row that the server
   *   already holds. `"clientStorage"`: a row that is already stored.
   * @throws {ConcordiaError} `E_TYPE` for a value of a wrong type, `E_NOT_CLONEABLE` for one that cannot be kept (a function, a
   *   cycle), `E_UNSAFE_ID` for an id of `""`, `"."` or `".."`, `E_CLOSED` after `close()`. The store is then unchanged.
   * @example const ada = people.create({ firstName: "Ada", age: 36 });
   */
  create(values: Partial<V>, source?: Source): Item<V>;

  /**
   * All items whose properties equal those given, or for which the function returns true; in the order of `items`.
   * @example people.find({ firstName: "Ada" });
   * @example people.find((person) => person.age >= 18);
   */
  find(match: Partial<V> | ((item: Item<V>) => boolean)): Item<V>[];

  /** As {@link Store.find}: the first of them, or `undefined`. */
  findOne(match: Partial<V> | ((item: Item<V>) => boolean)): Item<V> | undefined;

  /**
   * The item with this key, in constant time; `1` and `"1"` are one key.
   * @param source `"transporter"` (default): by `id`. `"clientStorage"`: by `_id`.
   * @example people.findById(7)?.firstName;
   */
  findById(key: string | number, source?: Source): Item<V> | undefined;

  /**
   * The item if it is here; else a new, empty one that is being fetched.
   * @param key The primary key by its name, for instance `{ id: 7 }`.
   * @throws {ConcordiaError} `E_NOT_A_KEY` for anything but the primary key, `E_UNSAFE_ID`, `E_CLOSED`.
   * @example
   * const person = people.findOneOrFetch({ id: 7 });
   * person.subscribe(() => show(person));
   */
  findOneOrFetch(key: Record<string, string | number>, source?: Source): Item<V>;

  /** A new, empty item with this key, being fetched. Errors as for {@link Store.findOneOrFetch}. */
  fetchAndCreate(key: Record<string, string | number>, source?: Source): Item<V>;

  /**
   * Fetches the whole collection and merges it: a property with an edit that the server has not taken keeps the edit.
   *
   * @param source `"transporter"` (default) or `"clientStorage"`.
   * @param args Reach the transporter's `_prepareFetch(...args)`.
   * @throws {ConcordiaError} Rejects with `E_UNREACHABLE`, `E_TIMEOUT`, `E_SERVER`, `E_UNAUTHORIZED`, `E_BAD_ANSWER`,
   *   `E_TOO_LARGE`, `E_REJECTED` or `E_NOT_FOUND`; the store keeps what it has.
   * @example await people.fetch();
   */
  fetch(source?: Source, ...args: unknown[]): Promise<void>;

  /**
   * Calls the listener after every change of the store's items or status.
   * @returns A function that ends it.
   * @example
   * const unsubscribe = people.subscribe(({ added, updated, removed }) => render(people.items));
   */
  subscribe(listener: (change: StoreChange<V>) => void): () => void;

  /**
   * The edits that the server has not taken yet, oldest first, the parked ones included.
   * @example for (const edit of people.pending()) console.log(edit.action, edit.state, edit.attempts);
   */
  pending(): PendingEdit<V>[];

  /**
   * Sends what can be sent now; settles when nothing is left to send or the server is unreachable. In a tab that does not send
   * (`status.sender`) it asks the one that does.
   */
  flush(): Promise<void>;

  /**
   * Stops the requests of this tab; edits go on being stored. `status.connection` is then `"paused"`. Of several tabs the one that sends
   * has to be paused for nothing to be sent.
   */
  pause(): void;

  /** Sends again, after {@link Store.pause} or after the server asked for credentials. */
  resume(): void;

  /** How the store is doing. */
  readonly status: StoreStatus;

  /** Stops work, releases the database, the locks and the listeners. Nothing that is queued is lost. */
  close(): Promise<void>;
}

/** How a store is doing. */
export interface StoreStatus {
  /**
   * `"online"`: the last request was answered. `"offline"`: unreachable, being probed. `"held"`: waiting for credentials.
   * `"paused"`: by `pause()`.
   */
  readonly connection: "online" | "offline" | "held" | "paused";
  /** False when this page could not store: no room, private mode, no client storage. */
  readonly durable: boolean;
  /**
   * Why `durable` is false: `E_QUOTA` (stored when there is room again), `E_STORAGE` or `E_NEWER_VERSION`. While it is true, what is wrong
   * with what was stored: `E_DATA_LOSS`, with `body` `{ records, unsynced }` as far as they are known, or `E_QUARANTINED`. Set
   * before {@link Store.onceLoaded} settles, and as long as the page.
   */
  readonly storageError?: ConcordiaError;
  /**
   * What the browser said last of the room for this site, in bytes, and whether it keeps the data until the user clears it. Of an
   * `IndexedDbClientStorage`, from shortly after the load on; asked anew with what is stored, at most every 10 s.
   */
  readonly estimate?: { readonly usage: number; readonly quota: number; readonly persisted: boolean };
  /** Edits that the server has not taken yet, the parked ones included. */
  readonly pending: number;
  /** Edits that the server has refused, kept until `retry()` or `discard()`. Of an item that was removed since only the removal is kept. */
  readonly parked: number;
  /**
   * Whether this tab is the one that sends the edits of the store. Of several tabs with one {@link IndexedDbClientStorage} one does, and
   * sends those of all; each reads for itself. Another takes its place when it is closed, frozen, or silent for 5 s. A change of it is
   * told to {@link Store.subscribe}.
   *
   * In the others everything can be used as in this one, and what is edited in one tab is soon in all: an edit there is stored at once, and
   * sent and synced by the sender. So are {@link PendingEdit.retry} and {@link PendingEdit.discard}: they take effect when the sender has
   * done them, and `pending()` shows it then.
   *
   * True in every tab, each of which then sends for itself, with another client storage, without a usable one, and where the browser has
   * neither `navigator.locks` nor `BroadcastChannel`, as in an insecure context: open such a store in one tab at a time.
   */
  readonly sender: boolean;
  /** The last thing that went wrong. */
  readonly lastError?: ConcordiaError;
}

/** What has changed. */
export interface StoreChange<V = any> {
  readonly added: Item<V>[];
  readonly updated: Item<V>[];
  readonly removed: Item<V>[];
  readonly status: StoreStatus;
}

/** What an edit does. */
export type Action = "create" | "update" | "delete";

/** An edit that the server has not taken yet. */
export interface PendingEdit<V = any> {
  readonly item: Item<V>;
  readonly action: Action;
  /** How often it was sent. */
  readonly attempts: number;
  /** What `Idempotency-Key` says, a UUID (draft-ietf-httpapi-idempotency-key-header). */
  readonly idempotencyKey: string;
  /** `"queued"`: not sent yet. `"sending"`: on its way. `"waiting"`: to be sent again later, or waits for an item that it refers to. `"parked"`: refused. */
  readonly state: "queued" | "sending" | "waiting" | "parked";
  /** Why it is parked: the server's status and body (`application/problem+json`, RFC 9457, parsed); kept across reloads. Of an edit
   *  that waits for another item: `E_WAITING`, and whether that one is parked. */
  readonly reason?: {
    readonly code: ErrorCode;
    readonly status?: number;
    readonly body?: unknown;
    readonly message: string;
  };
  /** Sends it again now, after an edit of the item or a change of the server. */
  retry(): void;
  /** Gives the edit up: the item goes back to what the server holds, an item that was never created there is removed. */
  discard(): void;
}

// --------------------------------------------------------------------------------------------------------------- item

/** An item: its properties are plain properties, `item.age`, `item.age = 33`. */
export type Item<V = any> = V & ItemMethods<V>;

/** What every item has besides its properties. */
export interface ItemMethods<V = any> {
  /** The key of this page; never changes, is never used again. */
  readonly __id: string;
  readonly removed: boolean;
  /** Whether the last edit is committed in client storage. */
  readonly stored: boolean;
  /** Whether the server has taken the last edit. */
  readonly synced: boolean;
  /** Why the last edit is parked, if it is. */
  readonly error?: ConcordiaError;
  /** Whether an assignment saves. Default: the store's option. */
  autoSave: boolean;

  /**
   * Sets the values, then saves them as one edit. Without values: saves what was assigned while `autoSave` was off.
   * @throws {ConcordiaError} `E_TYPE`, `E_NOT_CLONEABLE`, `E_UNSAFE_ID`, `E_REMOVED`, `E_CLOSED`; the item is then
   *   unchanged.
   * @example ada.update({ firstName: "Augusta Ada", age: 37 });
   */
  update(values?: Partial<V>, source?: Source): this;

  /** Removes the item here at once and, when it can be reached, on the server. */
  remove(source?: Source): this;

  /** As {@link ItemMethods.remove}. */
  delete(source?: Source): this;

  /** Asks the server for this item. `args` reach `_prepareFetchOne(item, ...args)`. */
  fetch(source?: Source, ...args: unknown[]): this;

  /**
   * Settles when the edits made so far are committed in client storage: they survive a crash.
   * @throws {ConcordiaError} Rejects with `E_QUOTA` or `E_STORAGE` when they cannot be stored, `E_DISCARDED` or `E_CLOSED`.
   */
  onceStored(): Promise<void>;

  /**
   * Settles when the server has taken the edits made so far.
   * @throws {ConcordiaError} Rejects with the reason when the edit is parked (`E_REJECTED`, `E_CONFLICT`, `E_NOT_FOUND`,
   *   `E_GONE_REMOTELY`, `E_UNCERTAIN`, `E_TOO_LARGE`, `E_BAD_ANSWER`), with `E_DISCARDED` or `E_CLOSED`.
   */
  onceSynced(): Promise<void>;

  /** Settles when the item has its key for that target, so that other items can refer to it. */
  onceReadyFor(target: Target): Promise<void>;

  /** Whether the item has its key for that target. */
  isReadyFor(target: Target): boolean;

  /** Calls the listener after every change of this item; returns a function that ends it. */
  subscribe(listener: (item: Item<V>) => void): () => void;

  /** The item's values and keys as a plain object of its own. */
  toJSON(): V;
}

// --------------------------------------------------------------------------------- transporters and client storages

/** What a transporter, a client storage or a middleware is told about the edit that it handles. */
export interface PushQueueItem {
  readonly action: Action;
  /** The row, or what of it was edited. */
  readonly payload: any;
  readonly __id: string;
  readonly _id?: string | number;
  readonly id?: string | number;
  /** Stands for this edit and no other, and stays the same when it is sent again. Not given to a client storage. */
  readonly idempotencyKey?: string;
  /** Which state of the server's row the edit was made on: the `version` that an answer of the transporter gave last. */
  readonly version?: string;
  /** The store's name. */
  readonly store: string;
}

/**
 * A transporter: any object with these methods. `_prepare*` make the request options, the `send` middleware may change them,
 * then the matching method is called with them. `_initialFetch` and the `_prepare*` of fetches are optional; default:
 * those of `_fetch`.
 */
export interface TransporterLike {
  _prepareSend(queueItem: PushQueueItem): any;
  _send(requestOptions: any): Promise<SendResult> | SendResult;
  _prepareFetch?(...args: any[]): any;
  /** `reading` says where to go on: at the `cursor` of an earlier answer, or at the `next` page that the answer before this one gave. */
  _fetch(requestOptions: any, reading: { cursor?: any; page?: any }): Promise<FetchResult> | FetchResult;
  _prepareFetchOne?(itemInformation: string | number | object, ...args: any[]): any;
  _fetchOne?(requestOptions: any): Promise<FetchOneResult> | FetchOneResult;
  _prepareInitialFetch?(...args: any[]): any;
  _initialFetch?(requestOptions: any, reading: { cursor?: any; page?: any }): Promise<FetchResult> | FetchResult;
  /** Milliseconds for each of these methods and each middleware; then the request counts as timed out. Default 30 000. */
  timeout?: number;
  /** `"PATCH"`: the payload of an update is the edited fields; else it is the whole row. */
  update?: string;
  /** Settles when the endpoint can be reached again. Without it: backoff. */
  onceAvailable?(): Promise<void>;
  /** Live changes made elsewhere; returns the unsubscribe function. */
  _subscribe?(listener: (change: { action: Action; data: any } | "refetch") => void): () => void;
}

/** The row as the endpoint now holds it (at least its key after a create), or an object that says more. */
export type SendResult =
  void | Record<string, unknown> | { data?: Record<string, unknown>; version?: string; res?: unknown; req?: unknown };

/**
 * An array is the whole collection: what is missing from it was deleted elsewhere. `complete: false`: a part of it, from which no
 * deletion may be inferred (the default with `deleted` or `cursor`); `deleted`: keys deleted elsewhere; `cursor`: where the next
 * `_fetch` goes on, `null` at the beginning; `next`: where the next page is. `cursor` and `next` can be anything that JSON can carry.
 *
 * A cursor is stored with the rows that it covers, if the store has an {@link IndexedDbClientStorage}, and so survives a reload.
 */
export type FetchResult =
  | unknown[]
  | {
      data: unknown[];
      complete?: boolean;
      deleted?: (string | number)[];
      cursor?: unknown;
      next?: unknown;
      version?: string;
    };

/** One row; nothing when the endpoint does not have it. */
export type FetchOneResult =
  Record<string, unknown> | null | undefined | { data: Record<string, unknown> | null; version?: string };

/** A transporter to a local database. */
export interface ClientStorageLike extends TransporterLike {
  /** Marks an item as removed, until the server has deleted it and `_send` is called with `"delete"`. */
  remove?(queueItem: PushQueueItem): Promise<void> | void;
  /** All writes of a turn at once, in place of `_send` for each. Not called when there is middleware. */
  _sendAll?(queueItems: PushQueueItem[]): Promise<void> | void;
}

/** Looks at, and may change, what goes to and comes from an endpoint. Every method may return a promise. */
export interface Middleware {
  name?: string;
  replaces?: string;
  addItemToQueue?(input: { queueItem: PushQueueItem; queue: PushQueueItem[] }): any;
  /** `req` is what `_prepare*` returned. Returns the same shape. */
  send?(input: { action: Action | "fetch" | "fetchOne" | "initialFetch"; req: any; item?: PushQueueItem }): any;
  receive?(input: { action: string; status?: number; data: any; req: any; res?: any }): any;
  /** May answer `"retry"` to have the request made again at once, with the `send` middleware run anew. */
  transmissionError?(input: { action: string; req: any; res?: any; error: any }): any | "retry";
  /** Settles when there are new credentials, after a 401 that held the queue: it then goes on. `signal`: nobody waits any more. */
  onceAuthorized?(input: { signal: AbortSignal }): Promise<void>;
  /** Tells credentials apart: who has none holds up no transporter with others, even on the same server. */
  realm?: string;
}

/** A base class for middleware. `uniqueName` is the name by which another one can replace it. */
export class TransporterMiddleware implements Middleware {
  static uniqueName: string;
  /** The names of the methods that a middleware can have. */
  static readonly methods: readonly string[];
  /**
   * An instance in which only the named methods are called.
   * @throws {ConcordiaError} `E_OPTIONS` for a name that is no method of a middleware.
   * @example Transporter.add(Logger.build([console], "send", "receive"));
   */
  static build(args: unknown[], ...methods: string[]): TransporterMiddleware;
  readonly name: string;
}

/**
 * Reject (or throw) with one to say what happened to a request.
 *
 * | kind | what becomes of the edit |
 * | --- | --- |
 * | `unreachable` | kept; sent when the endpoint can be reached again |
 * | `failed` | sent again with backoff, or after `retryAfterMs` |
 * | `rejected` | parked with `status` and `body` |
 * | `conflict` | parked as `E_CONFLICT` |
 * | `notFound` | an update is parked as `E_GONE_REMOTELY`, a delete is done |
 * | `unauthorized` | everything is held until `resume()` |
 *
 * Anything else that is thrown is `unreachable` if it is a network error, is judged like an HTTP answer by a numeric `status`
 * if it has one, and is `failed` otherwise.
 * @example throw new TransporterError("rejected", { status: 422, body: { title: "no such colour" } });
 */
export class TransporterError extends Error {
  constructor(
    kind: "unreachable" | "failed" | "rejected" | "conflict" | "notFound" | "unauthorized",
    options?: {
      status?: number;
      body?: unknown;
      retryAfterMs?: number;
      cause?: unknown;
      remote?: Record<string, unknown>;
    },
  );
  readonly kind: string;
  readonly status?: number;
  readonly body?: unknown;
  readonly retryAfterMs?: number;
}

/** What all transporters and client storages have in common; to be extended. */
export class BaseTransporter implements TransporterLike {
  /** Shared with the superclass, unless the class has its own: `static middleware = [...Base.middleware]`. */
  static middleware: Middleware[];
  static add(middleware: Middleware): void;
  /** Middleware of this instance alone, run after the class's. */
  use(middleware: Middleware): this;
  /** Asks for everything that is queued to be sent. */
  push(): Promise<void>;
  /** Asks for what is queued for one item to be sent. */
  pushOne(__id: string): Promise<void>;
  _prepareSend(queueItem: PushQueueItem): any;
  _send(requestOptions: any): any;
  _prepareFetch(...args: any[]): any;
  _fetch(requestOptions: any, reading?: any): any;
  _prepareFetchOne(itemInformation: any, ...args: any[]): any;
  _fetchOne(requestOptions: any): any;
  _prepareInitialFetch(...args: any[]): any;
  _initialFetch(requestOptions: any, reading?: any): any;
}

/** An end that leads to a server; to be extended. */
export class Transporter extends BaseTransporter {}

/** An end that leads to a local database; to be extended. */
export class ClientStorage extends BaseTransporter {
  /** Marks an item as removed, until the server has deleted it. */
  remove(queueItem: PushQueueItem): any;
}

/**
 * Stands for a target that does not exist: takes everything, holds nothing.
 * @example new Store({ schema, name: "drafts", clientStorage: new IndexedDbClientStorage() }); // no server
 */
export class EmptyTransporter extends BaseTransporter {}

/** What an {@link HttpTransporter} is made from. */
export interface HttpTransporterOptions {
  /** Absolute, or relative to the page. Default: `HttpTransporter.baseUrl`. Must be http(s), or `E_OPTIONS` is thrown. */
  readonly baseUrl?: string;
  /** The collection: `${baseUrl}/${path}`; an item is at `${baseUrl}/${path}/${id}`, the id percent-encoded. */
  readonly path: string;
  /** Sent with every request. A CR or LF in a name or value throws `E_OPTIONS` (RFC 9110 §5.5). */
  readonly headers?: Readonly<Record<string, string>>;
  /** As for `fetch`. */
  readonly credentials?: RequestCredentials;
  /**
   * Other methods and addresses. Default: create `POST :basePath`, update `PUT :basePath/:id`, delete
   * `DELETE :basePath/:id`, fetchOne `GET :basePath/:id`, fetch and initialFetch `GET :basePath`.
   */
  readonly methods?: Readonly<Partial<Record<string, { readonly method: string; readonly pathTemplate: string }>>>;
  /** `"PUT"` sends the whole item, `"PATCH"` only the edited fields (RFC 7396). Default `"PUT"`. */
  readonly update?: "PUT" | "PATCH";
  /**
   * Send `Idempotency-Key` with creates, updates and deletes; a string is another name for the header. Cross-origin it needs
   * the server's leave (`Access-Control-Allow-Headers`). Default: true within the page's origin, else false.
   */
  readonly idempotencyKey?: boolean | string;
  /**
   * Use `ETag`, `If-Match` and `If-None-Match` when the server gives ETags (RFC 9110 §13), else `Last-Modified` and
   * `If-Unmodified-Since` on the page's own origin. Default true. Of another origin only what it exposes to scripts is used
   * (`Access-Control-Expose-Headers: ETag`). An edit that waited for a server out of reach, or since another page, and whose item came
   * with a list, is preceded by one `GET` of the item, unless the server is known to give no ETags.
   *
   * The whole collection is asked for with the ETag, or within the page's origin the date, of the answer before, and 304 means that
   * nothing has changed; not with `pages`, since one page says nothing of the others, nor with `since`.
   */
  readonly conditional?: boolean;
  /**
   * Fetch only what has changed: name of the query parameter, and where the next cursor is found. The cursor is sent as it came, and
   * stored with the rows that it covers. From what is then not in the answer no deletion is inferred: see `deleted`.
   *
   * Of several pages the first that gives a cursor counts, so that what changes while the others are read comes with the next
   * fetch. A function is called for each page; where only the last has the right one, let it give `undefined` for the others.
   * @example const since = { param: "since", from: "Last-Modified" }; // GET /people?since=Sat%2C%2021%20Nov%202026…
   */
  readonly since?: {
    readonly param: string;
    readonly from: "Last-Modified" | "ETag" | ((res: Response, body: any) => string | undefined);
  };
  /**
   * How to get page after page: `Link: rel="next"` (RFC 8288), or the next page's address by a function, `undefined` for none. An address
   * of another origin is refused with `E_BAD_ANSWER`.
   *
   * When a page fails, those before it are kept, nothing is deleted, and the next fetch goes on there. Cross-origin the server has to
   * expose `Link` (`Access-Control-Expose-Headers`); where it never does, no deletion is inferred.
   */
  readonly pages?: "link" | ((res: Response, body: any) => string | undefined);
  /** Takes the rows out of a body that envelops them, for instance `(body) => body.data`. */
  readonly rows?: (body: any) => unknown[];
  /** Takes the keys of rows that were deleted elsewhere out of such a body, for instance `(body) => body.deleted`. */
  readonly deleted?: (body: any) => readonly (string | number)[] | undefined;
  /** Milliseconds for one request, body included. Default 30 000. */
  readonly timeout?: number;
  /**
   * Address of Server-Sent Events (http, https) or a WebSocket (ws, wss) with changes made elsewhere; a relative one is on the
   * collection's server. A message is the JSON of `{action, data}` or `"refetch"`, unless `parse` makes that of it; `parse` is given
   * the parsed JSON, or the text if it is none, and may give `undefined` for what does not matter. What makes no sense is told by
   * `status.lastError`.
   *
   * A connection that ends is opened again with backoff and jitter, and then the collection is read, so that nothing is missed. Cookies go
   * to the collection's own server only, cross-origin if `credentials` is `"include"`; a browser sends a WebSocket's by its own rules.
   */
  readonly live?:
    | string
    | {
        readonly url: string;
        readonly parse?: (message: any) => { action: Action; data: any } | "refetch" | undefined;
      };
  /** Tells when the server can be reached again; default: the first of `HttpTransporter.addOfflineChecker` that speaks for the address. */
  readonly offlineChecker?: HttpOfflineChecker;
}

/**
 * Talks JSON with a REST server: create POST, update PUT or PATCH, delete DELETE, fetch GET.
 *
 * A redirect is refused, and an answer that is not JSON is not believed: both are how a captive portal looks. Whether the
 * server can be reached is told by what becomes of the requests; what failed is sent again with backoff, `Retry-After`
 * (RFC 9110 §10.2.3) is honoured up to an hour.
 *
 * @throws {ConcordiaError} `E_NOT_INITIALISED` before `init()` has settled; `E_OPTIONS` for a `baseUrl` that is no http(s)
 *   address, a missing `path`, a header with CR or LF, a timeout that is no positive number.
 * @example
 * new HttpTransporter({ baseUrl: "https://example.org/api", path: "people", headers: { Accept: "application/json" } });
 */
export class HttpTransporter extends Transporter {
  constructor(options: HttpTransporterOptions);
  /** The `baseUrl` of transporters that are made without one. */
  static baseUrl?: string;
  /**
   * Adds a checker for all transporters whose collection's address it speaks for, of stores that are made from now on.
   * @throws {ConcordiaError} `E_OPTIONS` as {@link HttpOfflineChecker}.
   * @example HttpTransporter.addOfflineChecker({ pattern: "https://example.org/api/*", checkUrl: "https://example.org/api/ping" });
   */
  static addOfflineChecker(checker: HttpOfflineChecker | OfflineCheckerOptions): void;
}

/** What an {@link HttpOfflineChecker} is made from. */
export interface OfflineCheckerOptions {
  /**
   * The addresses that it speaks for: an expression, or a text in which `*` stands for anything. A text must cover the whole address, or,
   * if it begins with `/`, all that follows the server's name.
   */
  readonly pattern: RegExp | string;
  /** What is asked for while they cannot be reached, without cookies. Any status below 500 counts as reached, a redirect does not. */
  readonly checkUrl: string;
  /** `"GET"` (default), `"HEAD"` or `"OPTIONS"`. */
  readonly method?: string;
}

/**
 * Probes `checkUrl` while a server cannot be reached. None is needed: without one, the requests that wait are tried, one at a time.
 *
 * A store that uses it decides when it probes: with backoff and jitter, never more than 10 + T/5 requests in T seconds. When the
 * probe succeeds, one of the requests that wait follows; when that is answered, all of them.
 *
 * @throws {ConcordiaError} `E_OPTIONS` for a pattern that is neither, a `checkUrl` that is no http(s) address, another method.
 * @example
 * const checker = new HttpOfflineChecker({ pattern: "/api/*", checkUrl: "/api/ping" });
 * new HttpTransporter({ baseUrl: "/api", path: "people", offlineChecker: checker });
 */
export class HttpOfflineChecker {
  constructor(options: OfflineCheckerOptions);
  /** Whether it speaks for the address. Takes time in proportion to the length of the address, for a text as a pattern. */
  test(url: string): boolean;
  /** Whether its addresses cannot be reached, as far as is known. */
  readonly isOffline: boolean;
  /** Says that they cannot be reached; it is then probed. Settles when they can be again. */
  setOffline(): Promise<void>;
  /** Says that they can be reached again: what waits is sent. */
  setOnline(): void;
  /** Settles when they can be reached, at once if they are not known to be out of reach. */
  onceAvailable(): Promise<void>;
}

/** What an {@link IndexedDbClientStorage} is made from. */
export interface IndexedDbOptions {
  /** Name of the database. Default `"concordia"`. Stores share it; adding one needs no upgrade. */
  readonly database?: string;
  /** `"strict"` waits until the disk has it, `"relaxed"` until the operating system has it. */
  readonly durability?: "relaxed" | "strict";
  /**
   * Ask the browser, once in a page and at the first edit, not to clear the site's data by itself (`navigator.storage.persist()`); some
   * browsers ask the user. Default true.
   */
  readonly persist?: boolean;
}

/**
 * Keeps rows and unsent edits in the browser's IndexedDB. Where that is refused (private mode), the store works in memory and
 * `status.durable` is false.
 *
 * Records that make no sense are moved to the object store `quarantine` of the database, from which nothing is ever taken. How much of
 * each store is stored is noted in `localStorage`, where there is one, so that the loss of the database can be told (`E_DATA_LOSS`): an
 * app that deletes the database on purpose removes the keys that begin with `concordia ` as well.
 * @throws {ConcordiaError} `E_NOT_INITIALISED` before `init()` has settled; `E_OPTIONS` for options without sense.
 * @example new IndexedDbClientStorage({ database: "my-app" });
 */
export class IndexedDbClientStorage extends ClientStorage {
  constructor(options?: IndexedDbOptions);
}

// ---------------------------------------------------------------------------------------------- state storage, sessions

/** What the package keeps for one user in a {@link StateStorage}: plain JSON, for storages to keep as it is. */
export type State = any;

/**
 * Keeps one state per user: any object with these two methods, sync or async. Ids reach it as text, so that `1` and `"1"` are one
 * user. A call that throws, rejects, takes too long or gives something that is no state rejects with `E_STATE_STORAGE`; it
 * never counts as "logged out". `concordia/conformance` has a suite for it, docs/state-storage.md says what to look at.
 *
 * With plain `get` and `set`, changes of one user's state by several processes at once may overwrite each other; in
 * one process, and over the tabs of a browser, they do not. `lock` makes that true over processes.
 */
export interface StateStorage<S = State> {
  /** The state, or nothing (undefined or null). */
  get(userId: string | number): Promise<S | undefined> | S | undefined;
  /** Stores the state; undefined deletes it. */
  set(userId: string | number, state: S | undefined): Promise<unknown> | unknown;
  /**
   * Does the work while nobody else, in any process, does one of this name; settles as the work does. The work takes `ms` at most: the
   * lock of a process that died ends after that time.
   */
  lock?<T>(name: string, ms: number, work: () => Promise<T>): Promise<T>;
}

/** The default: in memory, gone with the page or process. Says so once with `console.warn`. Needs no `init()`. */
export class MemoryStateStorage implements StateStorage {
  get(userId: string | number): Promise<any>;
  set(userId: string | number, state: any): Promise<void>;
}

/**
 * In the browser's IndexedDB, shared by all tabs.
 * @throws {ConcordiaError} `E_NOT_INITIALISED` before `init()` has settled; `E_OPTIONS` for options without sense.
 */
export class IndexedDbStateStorage implements StateStorage {
  constructor(options?: IndexedDbOptions);
  get(userId: string | number): Promise<any>;
  set(userId: string | number, state: any): Promise<void>;
}

/**
 * A store's rows and its queue in the state of one user, wherever that is: in Redis, in a session, in a file. All stores of a user
 * share one state, which is written as a whole, once for all edits of a turn: for hundreds of rows, not for hundreds of thousands.
 * @throws {ConcordiaError} `E_OPTIONS` without a storage or a user.
 * @example
 * new Store({ schema, transporter, clientStorage: new StateClientStorage({ storage: new RedisStorage(), userId }) });
 */
export class StateClientStorage extends ClientStorage {
  constructor(options: { storage: StateStorage; userId: string | number });
}

/** What a {@link Session} is made from. */
export interface SessionOptions {
  readonly clientId: string;
  /** For servers alone: a page can keep none, and is a public client. Sent in bodies (`client_secret_post`). */
  readonly clientSecret?: string;
  /** Where people log in. */
  readonly authorizationUrl: string;
  /** Where tokens are had. */
  readonly tokenUrl: string;
  /** Where tokens are revoked (RFC 7009). Without it `revokeToken` forgets them here. */
  readonly revocationUrl?: string;
  /** Where people are sent back to. */
  readonly redirectUrl: string;
  readonly scope?: string;
  /**
   * Who must have sent people back (RFC 9207), compared with `iss` if the server gives it. Without it, `iss` must be of the same
   * origin as `authorizationUrl` or `tokenUrl`.
   */
  readonly issuer?: string;
  /** Default: `new MemoryStateStorage()`. */
  readonly storage?: StateStorage;
  /** Milliseconds for one token request. Default 5 000. */
  readonly httpTimeout?: number;
  /** Milliseconds for one call of the storage. Default 5 000. */
  readonly storageTimeout?: number;
  /** Is told what happens. Never of tokens, codes, secrets or users. */
  readonly logger?: (...args: unknown[]) => void;
}

/**
 * OAuth 2.0 authorization-code sessions of many users with PKCE, kept in a {@link StateStorage} (RFC 6749, 7636, 7009, 9207, 9700).
 * Needs no `init()`. Most of it is in a file of its own, `session.js`, loaded at first use: to be kept beside `index.js`, and by a
 * service worker with it.
 *
 * Every method that returns a promise rejects with `E_STATE_STORAGE` when the storage fails. Those that ask the authorisation server
 * reject with `E_UNREACHABLE`, `E_TIMEOUT`, `E_SERVER`, `E_BAD_ANSWER`, or `E_AUTH` when it refuses: `body.error` is its code.
 *
 * @throws {ConcordiaError} `E_OPTIONS` for options without sense.
 * @example
 * const session = new Session({ clientId, authorizationUrl, tokenUrl, redirectUrl, storage: new IndexedDbStateStorage() });
 * if (location.search.includes("state=")) await session.handleAuthorizationCodeRequest("me", { url: location.href });
 * if (!(await session.isAuthorized("me"))) location.assign(session.getAuthUrl(undefined, {}, "me"));
 */
export class Session {
  constructor(options: SessionOptions);

  /** Whether there is a usable token; one that has expired is refreshed. False only if there is none: failures reject. */
  isAuthorized(userId: string | number): Promise<boolean>;

  /**
   * The address of a login, made at once, with `state` and the challenge of PKCE. `extra`: further parameters. The login is known to
   * this process, or to this tab, for a quarter of an hour.
   *
   * `userId`: for whom the login is. It is then kept in their state too, so that another process can end it, and is taken from nobody
   * else. Without it that holds for an instance that was asked about one user alone, as one that is made for each request.
   */
  getAuthUrl(state?: string, extra?: Record<string, string>, userId?: string | number): string;

  /**
   * Takes code and `state` from the request's address, checks `state` and exchanges the code. For requests of Node, express and Fetch.
   * @throws {ConcordiaError} Rejects with `E_AUTH_STATE` when the login was not begun here, or for another user, or was ended already.
   */
  handleAuthorizationCodeRequest(
    userId: string | number,
    request: { url?: string; originalUrl?: string; headers?: any },
  ): Promise<void>;

  /** The same for an address, or for a code alone, which then belongs to the login that was begun last; the access token. */
  exchangeCodeForAccessToken(userId: string | number, urlOrCode: string): Promise<string>;

  /**
   * A valid access token: refreshed first when it is about to expire. Any number of calls share one refresh, and the new refresh token is
   * stored before anybody has the access token.
   * @throws {ConcordiaError} Rejects with `E_SESSION` when the user has to log in.
   */
  getAccessToken(userId: string | number): Promise<string>;

  /** Has the tokens revoked, and removes them here whether or not the server could be told. Records of stores stay. */
  revokeToken(userId: string | number): Promise<void>;

  /**
   * Adds `Authorization: Bearer …` to a transporter's requests to its own origin and path, or to `url` and what is below. After a 401 it
   * refreshes once and has the request made again; where that is not possible the queue is held (`status.connection` is `"held"`)
   * and goes on by itself after the next login.
   * @example new HttpTransporter({ baseUrl: "/api", path: "people" }).use(session.middleware("me"));
   */
  middleware(userId: string | number, options?: { url?: string }): Middleware;
}

// ------------------------------------------------------------------------------------------------------------- errors

/**
 * The stable codes of {@link ConcordiaError}.
 *
 * | code | meaning |
 * | --- | --- |
 * | `E_NOT_INITIALISED` | The package was used before `init()` had settled. |
 * | `E_SCHEMA` | A schema definition makes no sense. |
 * | `E_OPTIONS` | The options of a store, transporter or client storage make no sense. |
 * | `E_TYPE` | A value does not have the type that the schema gives its property. |
 * | `E_NOT_CLONEABLE` | A value cannot be kept or sent: a function, a cycle, a symbol. |
 * | `E_NOT_A_KEY` | Something that is not the primary key was given where a key is needed. |
 * | `E_UNSAFE_ID` | An id that cannot be made safe in a URL path: empty, `.` or `..`. |
 * | `E_REMOVED` | The item has been removed and takes no edits. |
 * | `E_CLOSED` | The store has been closed. |
 * | `E_DISCARDED` | The edit was given up by `discard()`. |
 * | `E_UNREACHABLE` | The endpoint could not be reached. |
 * | `E_TIMEOUT` | The server gave no complete answer within the timeout. |
 * | `E_SERVER` | The server failed (5xx) or asked to wait. |
 * | `E_REJECTED` | The server refused the edit; it is kept as parked. |
 * | `E_CONFLICT` | The server holds something that contradicts the edit; it is kept as parked. |
 * | `E_NOT_FOUND` | The server does not know the item. |
 * | `E_GONE_REMOTELY` | The item was deleted elsewhere while it was edited here; the edit is kept as parked. |
 * | `E_UNCERTAIN` | A create was taken, but the server did not say under which key; or its answer was lost and the app wants to be asked. Kept as parked. |
 * | `E_WAITING` | The edit waits for an item that it refers to, which the server has not taken. |
 * | `E_BLOCKED` | Requests to one address fail while the rest of its origin answers: CORS, an extension or a proxy may block it. |
 * | `E_UNAUTHORIZED` | The server wants credentials; everything is held. |
 * | `E_BAD_ANSWER` | The server's answer was not what the schema or the protocol demands. |
 * | `E_TOO_LARGE` | The answer's body is larger than the cap. |
 * | `E_QUOTA` | There is no room left in client storage. |
 * | `E_STORAGE` | Client storage could not be opened, or refused to work. |
 * | `E_NEWER_VERSION` | The database, or a store's rows in it, were written by a newer version of the package or of the app. |
 * | `E_DATA_LOSS` | The local database is gone, or was emptied, since it was last used. |
 * | `E_QUARANTINED` | Stored records made no sense, or could not be brought to the schema's version; they were set apart. |
 * | `E_VALIDATION` | The schema's validator does not accept the values. |
 * | `E_STATE_STORAGE` | The storage of the users' state failed, did not answer in time, or gave something that is no state. |
 * | `E_SESSION` | There is no usable token: the user has to log in. |
 * | `E_AUTH_STATE` | The answer to a login belongs to no login that was begun here for this user. |
 * | `E_AUTH` | The authorisation server refused a login or a request for a token. |
 * | `E_POISONED` | The package's own code failed and has stopped, so that nothing is damaged. Reload the page. |
 */
export type ErrorCode =
  | "E_NOT_INITIALISED"
  | "E_SCHEMA"
  | "E_OPTIONS"
  | "E_TYPE"
  | "E_NOT_CLONEABLE"
  | "E_NOT_A_KEY"
  | "E_UNSAFE_ID"
  | "E_REMOVED"
  | "E_CLOSED"
  | "E_DISCARDED"
  | "E_UNREACHABLE"
  | "E_TIMEOUT"
  | "E_SERVER"
  | "E_REJECTED"
  | "E_CONFLICT"
  | "E_NOT_FOUND"
  | "E_GONE_REMOTELY"
  | "E_UNCERTAIN"
  | "E_WAITING"
  | "E_BLOCKED"
  | "E_UNAUTHORIZED"
  | "E_BAD_ANSWER"
  | "E_TOO_LARGE"
  | "E_QUOTA"
  | "E_STORAGE"
  | "E_NEWER_VERSION"
  | "E_DATA_LOSS"
  | "E_QUARANTINED"
  | "E_VALIDATION"
  | "E_STATE_STORAGE"
  | "E_SESSION"
  | "E_AUTH_STATE"
  | "E_AUTH"
  | "E_POISONED";

/**
 * Every error that the package throws or rejects with. The message names the property and says what to do.
 * @example
 * try {
 *   people.create({ age: "old" });
 * } catch (error) {
 *   if (error instanceof ConcordiaError && error.code === "E_TYPE") console.warn(error.message);
 * }
 */
export class ConcordiaError extends Error {
  readonly code: ErrorCode;
  /** The HTTP status, if a server's answer led to it. */
  readonly status?: number;
  /** The body that came with it, at most 64 KiB; parsed if it was JSON. */
  readonly body?: unknown;
}
