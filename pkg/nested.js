// Objects and arrays inside an item. What is read is a view: changing it changes the item, through the item's own setter,
// so that `item.address.city = "Turin"` and `item.tags.push("new")` are edits like any other.

import { copyOf, isReference, itemOf } from "./reference.js";

const handler = (read, write, path) => {
  const resolve = () => path.reduce((value, name) => value?.[name], read());
  const change = (edit) => {
    const whole = copyOf(read());
    edit(path.reduce((value, name) => value[name], whole));
    write(whole);
    return true;
  };
  return {
    get(target, name) {
      const value = resolve()?.[name];
      return shown(value, () => view(read, write, [...path, name], value));
    },
    set: (_, name, value) =>
      change((object) => {
        object[name] = value;
      }),
    defineProperty: (_, name, { value }) =>
      change((object) => {
        object[name] = value;
      }),
    deleteProperty: (_, name) => change((object) => delete object[name]),
    has: (_, name) => Reflect.has(resolve() ?? {}, name),
    ownKeys: () => Reflect.ownKeys(resolve() ?? {}),
    getOwnPropertyDescriptor(target, name) {
      const found = Reflect.getOwnPropertyDescriptor(resolve() ?? {}, name);
      if (found === undefined) return undefined;
      // A proxy may not call a property fixed that its target does not have.
      if (!Object.hasOwn(target, name)) found.configurable = true;
      return { ...found, value: this.get(target, name) };
    },
  };
};

/** What page script sees of a value: of an object or array what `viewed` makes. */
export function shown(value, viewed) {
  if (typeof value !== "object" || value === null) return value;
  if (isReference(value)) return itemOf(value);
  return value instanceof Date ? new Date(value) : viewed();
}

/** A view of `value`, which `read()` gives below `path` and `write(whole)` replaces with all around it. */
export const view = (read, write, path, value) => new Proxy(value, handler(read, write, path));
