/** Where there is no IndexedDB, as under Node or where a browser refuses it, a store goes on in memory and says so. */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import init, { HttpTransporter, IndexedDbClientStorage, Schema, Store } from "../pkg/index.js";

test("without a usable database edits live in memory, are sent all the same, and status says why", async (t) => {
  const arrived = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    if (request.method === "POST") arrived.push(JSON.parse(body));
    response.setHeader("Content-Type", "application/json");
    response.end(request.method === "POST" ? JSON.stringify({ ...JSON.parse(body), id: "1" }) : "[]");
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => server.close());

  await init();
  const store = new Store({
    schema: new Schema({ properties: { name: String } }),
    transporter: new HttpTransporter({ baseUrl: `http://127.0.0.1:${server.address().port}`, path: "people" }),
    clientStorage: new IndexedDbClientStorage({ database: "refused" }),
  });
  await store.onceLoaded();
  assert.equal(store.status.durable, false);
  assert.equal(store.status.storageError.code, "E_STORAGE");

  const ada = store.create({ name: "Ada" });
  await assert.rejects(ada.onceStored(), { code: "E_STORAGE" });
  await ada.onceSynced();
  assert.deepEqual(arrived, [{ name: "Ada" }]);
  assert.equal(ada.id, "1");
  await store.close();
});
