/** The least of WebAssembly's binary format that the build needs: sections, numbers and names. */

export const IMPORT_SECTION = 2;
export const EXPORT_SECTION = 7;
export const CODE_SECTION = 10;

/** `{id, start, end}` of each section's content. */
export function* sectionsOf(bytes) {
  for (let at = 8; at < bytes.length;) {
    const [length, start] = readNumber(bytes, at + 1);
    yield { id: bytes[at], start, end: start + length };
    at = start + length;
  }
}

/** A module of `[id, content]`. */
export function moduleOf(sections) {
  const header = Buffer.from([0, 97, 115, 109, 1, 0, 0, 0]);
  const parts = sections.flatMap(([id, content]) => [Buffer.from([id]), writeNumber(content.length), content]);
  return Buffer.concat([header, ...parts]);
}

/** An unsigned LEB128 number and where the next thing begins. */
export function readNumber(bytes, start) {
  let number = 0;
  for (let at = start; ; at++) {
    number += (bytes[at] & 127) * 128 ** (at - start);
    if (bytes[at] < 128) return [number, at + 1];
  }
}

export function writeNumber(number) {
  const bytes = [];
  for (let rest = number; rest > 0 || bytes.length === 0; rest >>>= 7)
    bytes.push((rest & 127) | (rest > 127 ? 128 : 0));
  return Buffer.from(bytes);
}

export function readName(bytes, at) {
  const [length, start] = readNumber(bytes, at);
  return [bytes.toString("utf8", start, start + length), start + length];
}

export function writeName(name) {
  return Buffer.concat([writeNumber(name.length), Buffer.from(name)]);
}
