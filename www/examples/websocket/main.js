/** A shopping list that several people edit at the same time: a store whose transporter is a WebSocket. */
import init, { IndexedDbClientStorage, Schema, Store } from "/concordia/index.js";
import { showStore } from "/list-page.js";
import { WebSocketTransporter } from "./web-socket-transporter.js";

/** Each person has a database of their own, so that two of them can be played in one browser. */
const person = new URLSearchParams(location.search).get("person") ?? "1";
document.querySelector("#other").href = `/?person=${Number(person) + 1}`;

await showStore(async () => {
  await init();
  return new Store({
    name: "shopping",
    schema: new Schema({ properties: { title: String, done: Boolean } }),
    transporter: new WebSocketTransporter({ url: `${location.origin.replace(/^http/, "ws")}/socket` }),
    clientStorage: new IndexedDbClientStorage({ database: `example-shopping-${person}` }),
  });
});
