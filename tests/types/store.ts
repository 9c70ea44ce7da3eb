// A store knows the type of its values from its schema, and says what it takes and gives.

import init, {
  ConcordiaError,
  EmptyTransporter,
  HttpTransporter,
  IndexedDbClientStorage,
  NumberKey,
  SOURCE,
  Schema,
  Store,
  TARGET,
} from "../../pkg/index.js";
import type { ErrorCode, Item, PendingEdit, StoreChange, StoreStatus, ValuesOf } from "../../pkg/index.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}
function is<T>(_: T): void {}

interface Role {
  name: "admin" | "user";
}

export async function uses(): Promise<void> {
  is<Promise<void>>(init());
  await init("/concordia.wasm");
  await init(new URL("https://example.org/concordia.wasm"));
  await init(fetch("/concordia.wasm"));
  await init(new Uint8Array(8));

  const person = new Schema({
    properties: {
      id: { type: NumberKey, primary: true },
      firstName: String,
      age: Number,
      tags: { type: Array, items: String },
      address: { properties: { street: String, city: String } },
      born: Date,
    },
  });
  const people = new Store({
    schema: person,
    transporter: new HttpTransporter({ baseUrl: "/api", path: "people", update: "PATCH", timeout: 5_000 }),
    clientStorage: new IndexedDbClientStorage({ database: "app", durability: "strict" }),
    name: "people",
    options: {
      autoSave: true,
      onConflict: ({ local, remote, status }) => ({
        firstName: local.firstName ?? remote.firstName ?? String(status),
      }),
      onUncertainCreate: "ask",
    },
  });

  // Reading.
  await people.onceLoaded();
  const first = people.items[0]!;
  is<number>(first.age);
  is<string>(first.address.street);
  is<string[]>(first.tags);
  is<number>(first.born.getFullYear());
  is<number>(first.id);
  same<typeof first.firstName, string>(true);
  same<typeof first.stored, boolean>(true);
  same<typeof first.__id, string>(true);
  same<typeof first.error, ConcordiaError | undefined>(true);

  // Making, finding, editing, removing.
  const ada = people.create({ firstName: "Ada", age: 36, tags: [], address: { street: "Main St", city: "London" } });
  people.create({ firstName: "Bob" }, SOURCE.TRANSPORTER);
  people.create({ id: 7, firstName: "Cyd" }, "transporter");
  is<Item<{ firstName: string }>[]>(people.find({ firstName: "Ada" }));
  is<number>(people.find((person) => person.age >= 18 && person.firstName.startsWith("A")).length);
  is<string | undefined>(people.findOne({ age: 36 })?.firstName.toUpperCase());
  is<typeof ada | undefined>(people.findById(7) ?? people.findById("local", "clientStorage"));
  is<number>(people.findOneOrFetch({ id: 7 }).age);
  is<number>(people.fetchAndCreate({ id: 7 }).age);
  ada.age = 37;
  ada.born = new Date(0);
  ada.autoSave = false;
  is<typeof ada>(ada.update({ age: 38 }).update());
  ada.remove().delete();
  ada.fetch("transporter", { deep: true }).update({}, SOURCE.STATE);
  await ada.onceStored();
  await ada.onceSynced();
  await ada.onceReadyFor(TARGET.TRANSPORTER);
  if (ada.isReadyFor("clientStorage")) console.log(ada.toJSON().address.city);

  // Listening.
  const unsubscribe: () => void = people.subscribe((change: StoreChange<ValuesOf<typeof person>>) => {
    console.log(change.status.pending);
  });
  people.subscribe(({ added, updated, removed }) => [...added, ...updated, ...removed].map((item) => item.age + 1));
  ada.subscribe((item) => item.age + 1);
  unsubscribe();

  // The queue and the status.
  for (const edit of people.pending()) {
    same<typeof edit.state, "queued" | "sending" | "waiting" | "parked">(true);
    same<typeof edit.action, "create" | "update" | "delete">(true);
    is<string>(edit.item.firstName);
    if (edit.reason?.status === 422) edit.discard();
    else edit.retry();
  }
  is<PendingEdit[]>(people.pending());
  const status: StoreStatus = people.status;
  if (status.connection === "offline" && !status.durable) console.log(status.storageError?.code);
  await people.flush();
  await people.fetch();
  await people.fetch("transporter", { page: 2 });
  people.pause();
  people.resume();
  await people.close();

  // Without a schema's types, or with one's own.
  const roles = new Store<Role>({ schema: new Schema({ name: String }), name: "roles" });
  same<(typeof roles.items)[0]["name"], "admin" | "user">(true);
  const untyped: Schema = new Schema({ name: String });
  const loose = new Store({ schema: untyped, name: "loose", transporter: new EmptyTransporter() });
  is<number>(loose.items[0]!.whatever);
  is<Store>(people);
  is<Store<any>>(new Store<any>({ schema: untyped }));

  // Errors.
  try {
    people.create({});
  } catch (error) {
    if (error instanceof ConcordiaError) {
      is<ErrorCode>(error.code);
      is<string>(error.code);
      is<number | undefined>(error.status);
      if (error.code === "E_TYPE") console.log(error.message, error.body);
      // @ts-expect-error no such code
      if (error.code === "E_TYPO") console.log();
      // @ts-expect-error codes do not change
      error.code = "E_TYPE";
    }
  }

  // What must not compile.
  // @ts-expect-error a store needs a schema
  new Store({ name: "people" });
  // @ts-expect-error a schema, not a definition
  new Store({ schema: { properties: { name: String } } });
  // @ts-expect-error a transporter has methods
  new Store({ schema: untyped, transporter: { path: "people" } });
  // @ts-expect-error unknown answer to a conflict
  new Store({ schema: untyped, options: { onConflict: "mine" } });
  // @ts-expect-error misspelt option
  new Store({ schema: untyped, options: { autosave: true } });
  // @ts-expect-error a number is not text
  people.create({ firstName: 1 });
  // @ts-expect-error not in the schema
  people.create({ nickname: "A" });
  // @ts-expect-error a nested value has its own type
  people.create({ address: { street: 1, city: "London" } });
  // @ts-expect-error a number is not text
  ada.firstName = 3;
  // @ts-expect-error text is not a number
  ada.update({ age: "38" });
  // @ts-expect-error not in the schema
  ada.nickname = "A";
  // @ts-expect-error the server gives it
  ada.id = 8;
  // @ts-expect-error told, not set
  ada.synced = true;
  // @ts-expect-error told, not set
  people.items = [];
  // @ts-expect-error told, not edited
  people.items.push(ada);
  // @ts-expect-error not in the schema
  people.find({ nickname: "A" });
  // @ts-expect-error a key is text or a number
  people.findById({ id: 7 });
  // @ts-expect-error a key by its name
  people.findOneOrFetch(7);
  // @ts-expect-error no such source
  people.create({}, 3);
  // @ts-expect-error no such state
  if (people.status.connection === "gone") console.log();
  // @ts-expect-error a listener is a function
  people.subscribe({ next() {} });
}
