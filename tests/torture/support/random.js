/**
 * Randomness from a seed: `generator(seed)` → a function of [0, 1). The same in Node and in a page, to which its text is given
 * (mulberry32, a well-known generator of 32 bits).
 *
 * `draws(seed)` → that, with `below(n)`, `between(low, high)`, `chance(p)`, `pick(list)` and `shuffled(list)`.
 */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function draws(seed) {
  const next = generator(seed);
  const below = (count) => Math.floor(next() * count);
  return {
    below,
    between: (low, high) => low + next() * (high - low),
    chance: (probability) => next() < probability,
    pick: (list) => list[below(list.length)],
    shuffled(list) {
      const left = [...list];
      return list.map(() => left.splice(below(left.length), 1)[0]);
    },
  };
}
