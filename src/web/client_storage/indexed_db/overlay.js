// The work on whole arrays of records, in one call over the border each. Records stay the objects they are.

/** All records: a later block over an earlier one, a delta over blocks; a delta that is a bare key hides its record.
 *  Fills `ids` with the keys found in blocks and `changed` with those found in deltas. */
export function overlay(blocks, deltas, keyName, ids, changed) {
  const records = new Map();
  for (const block of blocks) {
    // A record without a key is damaged: it is handed on under a key of its own, for the caller to judge.
    for (const record of block) records.set(record?.[keyName] ?? {}, record);
  }
  for (const id of records.keys()) ids.add(id);
  for (const delta of deltas) {
    const erased = typeof delta !== "object" || delta === null;
    const id = erased ? delta : (delta[keyName] ?? {});
    changed.add(id);
    if (erased) records.delete(id);
    else records.set(id, delta);
  }
  return Array.from(records.values());
}

/** The number of records in all blocks together, each as often as it occurs. */
export const total = (blocks) => blocks.reduce((sum, block) => sum + block.length, 0);

/** Adds the keys of `records` to `ids`; how many were in it before. */
export function note(ids, records, keyName) {
  const before = ids.size;
  for (const record of records) ids.add(record[keyName]);
  return records.length - (ids.size - before);
}

/** Those of the delta keys `[store, id]` whose record is among `records`. */
export function covered(keys, records, keyName) {
  if (keys.length === 0) return [];
  const ids = new Set();
  for (const record of records) ids.add(record[keyName]);
  return keys.filter((key) => ids.has(key[1]));
}

/** The key of the first record that cannot be stored, as text; "" when all can. */
export function unstorable(records, keyName) {
  for (const record of records) {
    const id = record?.[keyName];
    if (typeof id !== "string" && typeof id !== "number") return `without ${keyName}`;
    try {
      structuredClone(record);
    } catch {
      return String(id);
    }
  }
  return "";
}
