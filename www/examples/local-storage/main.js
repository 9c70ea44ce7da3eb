/** A list of things to do, kept in localStorage and sent to a REST server. */
import init, { HttpTransporter, Schema, Store } from "/concordia/index.js";
import { showStore } from "/list-page.js";
import { LocalStorage } from "./local-storage.js";

/** Keeps the page itself, so that it opens without the server. */
navigator.serviceWorker?.register("/service-worker.js").catch(console.warn);

await showStore(async () => {
  await init();
  return new Store({
    schema: new Schema({ properties: { title: String, due: Date, done: Boolean } }),
    transporter: new HttpTransporter({ baseUrl: "/api", path: "todos" }),
    clientStorage: new LocalStorage({ prefix: "example" }),
  });
});
