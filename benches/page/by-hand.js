/** What one would write by hand: plain objects, and IndexedDB with one record per row. */
import { measureAccess } from "./access.js";
import { nextTask, timed } from "./clock.js";
import { allRows } from "./rows.js";

const EDITS = 1_000;

export function open(name) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("people", { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

export function getAll(database) {
  return new Promise((resolve, reject) => {
    const request = database.transaction("people").objectStore("people").getAll();
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function putAll(database, rows) {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("people", "readwrite");
    const people = transaction.objectStore("people");
    for (const row of rows) people.put(row);
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

const rowsWithIds = (count) => allRows(count).map((row, index) => ({ id: index + 1, ...row }));

export const access = (_name, count) => measureAccess(rowsWithIds(count), nextTask);

export async function createAll(name, count, watched) {
  const database = await open(name);
  const rows = rowsWithIds(count);
  return timed(() => putAll(database, rows), watched);
}

export function fetchAll(name, _count, watched) {
  return timed(async () => {
    const opening = open(name);
    const response = await fetch("/api/people");
    const rows = await response.json();
    await putAll(await opening, rows);
  }, watched);
}

export async function edits(name, count) {
  const database = await open(name);
  const rows = rowsWithIds(count);
  await putAll(database, rows);
  const edited = rows.slice(0, EDITS);
  const { time } = await timed(() => {
    for (const row of edited) row.age += 1;
    return putAll(database, edited);
  });
  return { time };
}

export async function countStored(name) {
  return (await getAll(await open(name))).length;
}
