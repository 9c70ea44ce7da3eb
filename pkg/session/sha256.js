// SHA-256 (FIPS 180-4), for the challenge of PKCE alone: an address for a login has to be made at once, and Web Crypto answers
// later.

let tables;

/** The first 32 bits of the fractions of roots: the cube roots of the first 64 primes, the square roots of the first 8. */ function constants() {
  const primes = [];
  for (let number = 2; primes.length < 64; number++)
    if (primes.every((prime) => number % prime !== 0)) primes.push(number);
  const bits = (root) => ((root - Math.floor(root)) * 2 ** 32) | 0;
  return [primes.map((prime) => bits(Math.cbrt(prime))), primes.slice(0, 8).map((prime) => bits(Math.sqrt(prime)))];
}

const turn = (word, by) => (word >>> by) | (word << (32 - by));

/** The digest of a text of fewer than 2^29 bytes, as bytes. */
export function sha256(text) {
  const bytes = new TextEncoder().encode(text);
  const blocks = new DataView(new ArrayBuffer(((bytes.length + 72) >> 6) << 6));
  bytes.forEach((byte, at) => blocks.setUint8(at, byte));
  blocks.setUint8(bytes.length, 128);
  blocks.setUint32(blocks.byteLength - 4, bytes.length * 8);
  tables ??= constants();
  const [rounds, start] = tables;
  const hash = start.slice();
  const words = [];
  for (let block = 0; block < blocks.byteLength; block += 64) {
    const state = hash.slice();
    for (let at = 0; at < 64; at++) {
      if (at < 16) words[at] = blocks.getInt32(block + 4 * at);
      else {
        const [early, late] = [words[at - 15], words[at - 2]];
        const first = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3);
        const second = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10);
        words[at] = (words[at - 16] + first + words[at - 7] + second) | 0;
      }
      const [a, b, c, , e, f, g, h] = state;
      const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + rounds[at] + words[at];
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      state.pop();
      state.unshift((one + two) | 0);
      state[4] = (state[4] + one) | 0;
    }
    state.forEach((word, at) => (hash[at] = (hash[at] + word) | 0));
  }
  const digest = new DataView(new ArrayBuffer(32));
  hash.forEach((word, at) => digest.setInt32(4 * at, word));
  return new Uint8Array(digest.buffer);
}
