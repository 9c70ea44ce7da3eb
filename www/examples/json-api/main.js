/** A list of books on a JSON:API server that wants to know who is asking. */
import init, { IndexedDbClientStorage, Schema, Store } from "/concordia/index.js";
import { showStore } from "/list-page.js";
import { AuthMiddleware } from "./auth-middleware.js";
import { JsonApiTransporter } from "./json-api-transporter.js";

JsonApiTransporter.add(new AuthMiddleware({ tokenUrl: "/token" }));

const store = await showStore(async () => {
  await init();
  const opened = new Store({
    schema: new Schema({ properties: { title: String, author: String, year: Number } }),
    transporter: new JsonApiTransporter({ baseUrl: "/api", type: "books" }),
    clientStorage: new IndexedDbClientStorage({ database: "example-books" }),
  });
  opened.subscribe(() => offerToSignIn(opened.status));
  return opened;
});

document.querySelector("#sign-in").addEventListener("click", async () => {
  const response = await fetch("/session", { method: "POST" });
  if (response.ok) store.resume();
});

/** "held": the server does not know who this is, and nothing is sent until `resume()`. */
function offerToSignIn({ connection }) {
  document.querySelector("#signed-out").hidden = connection !== "held";
}
