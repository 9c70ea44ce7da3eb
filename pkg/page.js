// Loads the engine and carries its messages: promises by their token, changes to the store they belong to.

import load, { isSound, start } from "./wasm/concordia.js";
import { ConcordiaError, POISONED, toError } from "./error.js";
import { nextEpoch } from "./epoch.js";
import { Tabs } from "./tabs.js";

let loading;
let ready = false;
let poisoned = false;
let lastToken = 0;
const waiting = new Map();
const stores = new Map();
const NONE = Object.freeze([]);

/** Loads the WebAssembly module once; later calls return the same promise, unless loading failed. */
export function init(input) {
  loading ??= instantiate(input).catch((error) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function instantiate(input) {
  await load({ module_or_path: (await input) ?? (await beside()) });
  start({ changed, made, touched, settled, turned: nextEpoch, tabs: Tabs.of });
  globalThis.addEventListener?.("error", ({ error }) => suspect(error));
  globalThis.addEventListener?.("unhandledrejection", ({ reason }) => suspect(reason));
  ready = true;
}

/** A trap in the engine's own tasks reaches nobody who waits: it is noticed here, and they are told. */
function suspect(error) {
  if (!(error instanceof WebAssembly.RuntimeError) || poisoned || isSound()) return;
  poisoned = true;
  for (const { reject } of waiting.values()) reject(new ConcordiaError("E_POISONED", POISONED));
  waiting.clear();
}

/** The file beside this one. Node's fetch reads no files, so there it is read from disk. */
async function beside() {
  const url = new URL("./wasm/concordia_bg.wasm", import.meta.url);
  if (url.protocol !== "file:") return url;
  const { readFile } = await import(/* @vite-ignore */ /* webpackIgnore: true */ "node:fs/promises");
  return readFile(url);
}

/** Throws what has to be said before the engine can be used. */
export function demandReady() {
  if (poisoned) throw new ConcordiaError("E_POISONED", POISONED);
  if (!ready)
    throw new ConcordiaError("E_NOT_INITIALISED", "the package is not ready; `await init()` once before using it");
}

/** Calls into the engine; what it refuses is thrown as an error. */
export function calling(act) {
  try {
    return act();
  } catch (thrown) {
    suspect(thrown);
    // What a page's own getters throw while their values are read is the page's.
    if (thrown instanceof Error && !(thrown instanceof WebAssembly.RuntimeError)) throw thrown;
    throw toError(thrown);
  }
}

/** A promise that the engine settles by its token; `ask` hands the token in. */
export function promise(ask) {
  return new Promise((resolve, reject) => {
    const token = ++lastToken;
    waiting.set(token, { resolve, reject });
    try {
      calling(() => ask(token));
    } catch (error) {
      waiting.delete(token);
      reject(error);
    }
  });
}

function settled(token, fault) {
  const waiter = waiting.get(token);
  waiting.delete(token);
  if (fault === undefined) waiter?.resolve();
  else waiter?.reject(toError(fault));
}

/** Registers who is told of a store's changes. */
export function listen(id, store) {
  stores.set(id, store);
}

function changed(id, added = NONE, rows, updated = NONE, removed = NONE) {
  stores.get(id)?.changed(added, rows, updated, removed);
}

function made(id, item, row) {
  stores.get(id)?.made(item, row);
}

function touched(id, item) {
  stores.get(id)?.touched(item);
}
