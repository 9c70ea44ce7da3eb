/**
 * The page that is tormented. It connects to the witness, loads the store, says what it finds, and edits when it is told to. Of several tabs
 * each edits only what is its own, by the number in the item's tag: so the edits of an item have one order. It looks at the rest.
 *
 * Every edit writes its own number into `seq` and into one of the fields `a`, `b`, `c`, so that the server's rows and log tell which
 * edits they hold. The number is that of the session times a million, plus one for each edit. What is told to the witness:
 * - `loaded`: what the store holds when `onceLoaded()` has settled, and `isNew`: whether the page's own mark in another database of this
 *   origin was not there. Chromium throws all databases of an origin away at once; the mark is looked for after the store has met them first.
 * - `edit`, before the edit is made; `stored`, after its `onceStored()` has resolved; `unstored`, after that has rejected.
 * - `sender`: whether this tab is the one that sends, whenever that changes.
 * - `state`: what the store holds, when asked to; `rested`: that no edit is made any more, when told to rest.
 */
import { generator } from "./random.js";

/** Numbers of one session: more edits than any session makes. */
export const PER_SESSION = 1_000_000;
export const FIELDS = ["a", "b", "c"];

/** More would only make the server busy. */
const MOST_ITEMS = 40;
/** Edits of a session, and how many may wait to be stored. */
const MOST_EDITS = 20_000;
const MOST_UNSTORED = 150;

export const page = (witness, transporter) => `<!doctype html>
<html lang="en">
  <meta charset="utf-8" />
  <title>Torture</title>
  <script type="module">
    import init, { HttpTransporter, IndexedDbClientStorage, Schema, Store } from "/concordia/index.js";
    const generator = ${generator};
    (${session})({
      init, HttpTransporter, IndexedDbClientStorage, Schema, Store, generator,
      witness: ${JSON.stringify(witness)},
      transporter: ${JSON.stringify(transporter)},
      fields: ${JSON.stringify(FIELDS)},
      perSession: ${PER_SESSION},
      limits: ${JSON.stringify({ items: MOST_ITEMS, edits: MOST_EDITS, unstored: MOST_UNSTORED })},
    });
  </script>
</html>
`;

/** Runs in the page. */
async function session(given) {
  const { Schema, Store, HttpTransporter, IndexedDbClientStorage, fields, limits } = given;
  const socket = new WebSocket(given.witness + location.search);
  const messages = [];
  let heard;
  socket.onmessage = ({ data }) => {
    messages.push(JSON.parse(data));
    heard?.();
  };
  const next = async () => {
    while (messages.length === 0) await new Promise((resolve) => (heard = resolve));
    return messages.shift();
  };
  const tell = (what) => socket.send(JSON.stringify(what));
  const { number } = await next();
  addEventListener("error", ({ message }) => tell({ told: "uncaught", message }));
  addEventListener("unhandledrejection", ({ reason }) =>
    tell({ told: "uncaught", message: reason?.stack ?? String(reason) }),
  );

  await given.init();
  const store = new Store({
    name: "things",
    schema: new Schema({
      properties: { tag: String, seq: Number, ...Object.fromEntries(fields.map((name) => [name, Number])) },
    }),
    transporter: new HttpTransporter({ baseUrl: "/api", path: "things", ...given.transporter }),
    clientStorage: new IndexedDbClientStorage(),
  });
  const fault = (error) => error && { code: error.code, message: error.message };
  const state = () => {
    const { durable, connection, storageError, lastError } = store.status;
    return {
      items: store.items.map((item) => item.toJSON()),
      pending: store.pending().map(({ item, action, state: at, attempts, reason }) => {
        return { tag: item.tag, action, state: at, attempts, reason };
      }),
      status: { durable, connection, storageError: fault(storageError), lastError: fault(lastError) },
    };
  };

  let edits = 0;
  let unstored = 0;
  let working;
  let rests = false;
  let go;
  function announced(item, action, values, isMine) {
    let seq;
    do seq = number * given.perSession + ++edits;
    while (!item && !isMine(seq));
    const field = fields[Math.floor(values * fields.length)];
    const tag = item?.tag ?? "t" + seq;
    tell({ told: "edit", tag, seq, action, field });
    return { item, action, tag, seq, field };
  }

  function edit({ item, action, tag, seq, field }) {
    unstored += 1;
    const made =
      action === "create"
        ? store.create({ tag, seq, [field]: seq })
        : action === "update"
          ? item.update({ seq, [field]: seq })
          : item.remove();
    made.onceStored().then(
      () => {
        unstored -= 1;
        tell({ told: "stored", seq });
      },
      (error) => {
        unstored -= 1;
        tell({ told: "unstored", seq, code: error?.code });
      },
    );
    return made;
  }

  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  async function work({ seed, human, place, tabs }) {
    const random = given.generator(seed);
    const isMine = (digits) => digits % tabs === place;
    for (let last; !rests && (human || edits < limits.edits);) {
      const items = store.items.filter(({ tag }) => isMine(Number(tag.slice(1))));
      const item = items[Math.floor(random() * items.length)];
      const dice = random();
      const make = item === undefined || (dice < 0.4 && items.length < limits.items / tabs);
      const action = make ? "create" : dice < 0.85 ? "update" : "delete";
      const told = announced(make ? undefined : item, action, random(), isMine);
      // A delete says nothing of itself when it arrives: it is made when the witness has heard of it.
      if (action === "delete") await new Promise((resolve) => (go = resolve));
      last = edit(told);
      if (human) await pause(20 + random() * 180);
      // Mostly many edits in one task, at times one task after the other.
      else if (random() < 0.15) await pause(0);
      if (unstored > limits.unstored || random() < 0.02) await last.onceStored().catch(() => {});
    }
  }

  const commands = {
    work: (told) => (working = work(told)),
    async rest() {
      rests = true;
      await working;
      tell({ told: "rested" });
    },
    go: () => go(),
    tell: () => tell({ told: "state", ...state() }),
    retry() {
      for (const one of store.pending()) if (one.state === "parked") one.retry();
      dispatchEvent(new Event("online"));
      store.flush().catch(() => {});
    },
  };
  /** Whether the mark was not there; now it is. Nothing if the database cannot be opened. */
  const marked = () =>
    new Promise((resolve) => {
      const request = indexedDB.open("mark");
      let isNew = false;
      request.onupgradeneeded = () => (isNew = true);
      request.onerror = () => resolve(undefined);
      request.onsuccess = () => {
        request.result.close();
        resolve(isNew);
      };
    });
  let isSender;
  const tellOfSender = () => {
    if (isSender === store.status.sender) return;
    isSender = store.status.sender;
    tell({ told: "sender", isSender });
  };
  store.subscribe(tellOfSender);
  const failed = await store.onceLoaded().then(() => undefined, fault);
  const then = state();
  tell({ told: "loaded", isNew: await marked(), failed, ...then });
  tellOfSender();
  for (;;) {
    const told = await next();
    void commands[told.do](told);
  }
}
