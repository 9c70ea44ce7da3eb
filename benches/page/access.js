/** Reads and writes of properties, the same loops for items and for plain objects. */
const TIMES = 1_000_000;
const WARM_UP = 100_000;

export function readText(items, times = TIMES) {
  let total = 0;
  for (let i = 0, at = 0; i < times; i++) {
    total += items[at].firstName.length;
    if (++at === items.length) at = 0;
  }
  return total;
}

export function readNumber(items, times = TIMES) {
  let total = 0;
  for (let i = 0, at = 0; i < times; i++) {
    total += items[at].age;
    if (++at === items.length) at = 0;
  }
  return total;
}

export function setNumber(items, times = TIMES) {
  for (let i = 0, at = 0; i < times; i++) {
    items[at].age = i;
    if (++at === items.length) at = 0;
  }
  return items[0].age;
}

/** Milliseconds of one loop. `settle` is awaited before, so that nothing of an earlier loop is still to be done. */
export async function measureAccess(items, settle) {
  const one = [items[0]];
  const loops = { readText: [readText, items], readNumber: [readNumber, items] };
  const writes = { setOne: [setNumber, one], setAll: [setNumber, items] };
  const figures = {};
  for (const [key, [loop, over]] of Object.entries({ ...loops, ...writes })) {
    loop(over, WARM_UP);
    await settle();
    const start = performance.now();
    const result = loop(over);
    figures[key] = performance.now() - start;
    if (!(result > 0)) throw new Error(`${key} gave ${result}`);
  }
  await settle();
  return figures;
}
