// What a schema says about the values of its items, and which definitions make no sense.

import { z } from "zod";
import { Key, NumberKey, Schema, constants, customTypes } from "../../pkg/index.js";
import type { Item, KeyDefinition, PropertyDefinition, Store, ValuesOf } from "../../pkg/index.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}
function is<T>(_: T): void {}

const person = new Schema({
  properties: {
    firstName: String,
    age: Number,
    active: { type: Boolean, default: true },
    born: Date,
    tags: { type: Array, items: String },
    scores: { type: Array, items: { type: Array, items: Number } },
    address: { type: Object, properties: { street: String, geo: { properties: { lat: Number, lon: Number } } } },
    anything: Object,
    list: Array,
    seats: { type: Array, items: { properties: { row: Number, held: Boolean } } },
  },
  indexes: ["firstName", "address.street"],
  version: 2,
  migrations: { 2: (row) => ({ ...row, active: true }) },
});
type Person = ValuesOf<typeof person>;
same<
  Person,
  {
    firstName: string;
    age: number;
    active: boolean;
    born: Date;
    tags: string[];
    scores: number[][];
    address: { street: string; geo: { lat: number; lon: number } };
    anything: Record<string, unknown>;
    list: unknown[];
    seats: { row: number; held: boolean }[];
    readonly id: string;
    readonly _id: string;
  }
>(true);

// The short form.
const short = new Schema({ firstName: String, age: Number });
same<ValuesOf<typeof short>, { firstName: string; age: number; readonly id: string; readonly _id: string }>(true);

// Keys: numeric, renamed on one side, renamed on both.
const numeric = new Schema({ properties: { id: { type: NumberKey, primary: true }, name: String } });
same<ValuesOf<typeof numeric>, { name: string; readonly id: number; readonly _id: string | number }>(true);
const renamed = new Schema({ properties: { key: { type: Key, primary: true, key: "uuid" }, name: String } });
same<ValuesOf<typeof renamed>, { name: string; readonly uuid: string; readonly _uuid: string }>(true);
const both = new Schema({ properties: { key: { type: Key, primary: true, key: "uuid", _key: "localId" } } });
same<ValuesOf<typeof both>, { readonly uuid: string; readonly localId: string }>(true);
same<ValuesOf<{ properties: { name: StringConstructor } }>["id"], string>(true);

// Key types under harmonized.js's name.
const custom = new Schema({ properties: { id: { type: customTypes.NumberKey, primary: true } } });
same<ValuesOf<typeof custom>["id"], number>(true);

// A key that is named `id` is the primary one; another one is a value.
const named = new Schema({ id: NumberKey, landlordId: Key });
same<ValuesOf<typeof named>, { landlordId: string; readonly id: number; readonly _id: string | number }>(true);
const marked = new Schema({ properties: { id: String, key: { type: NumberKey, primary: true, key: "nr" } } });
same<ValuesOf<typeof marked>, { id: string; readonly nr: number; readonly _nr: string | number }>(true);

// References to items: of a store that is there, of one that comes later, of the store itself, and lists of them.
declare const people: Store<Person>;
const post = new Schema({
  properties: {
    title: String,
    author: { type: Key, key: "authorId", ref: people },
    readers: { type: Array, items: { type: Key, key: "readerIds", ref: () => people } },
    answers: { type: NumberKey, ref: "self" },
    meta: { properties: { owner: { type: Key, ref: people } } },
  },
});
type Post = ValuesOf<typeof post>;
same<Post["author"], Item<Person> | null>(true);
same<Post["readers"], (Item<Person> | null)[]>(true);
same<Post["answers"], Item<any> | null>(true);
same<Post["meta"], { owner: Item<Person> | null }>(true);

// Definitions can be written apart and typed.
const parts: Record<string, PropertyDefinition> = { name: String };
const key: KeyDefinition = { type: Key, primary: true, key: "id", _key: "_id" };
export const loose = new Schema({ properties: { ...parts, id: key } });
const untyped: Schema = person;
is<ValuesOf<typeof untyped>>({ whatever: 1 });

// What makes no sense does not compile.
// @ts-expect-error a value is not a type
new Schema({ properties: { age: 33 } });
// @ts-expect-error nor is a name
new Schema({ properties: { age: "number" } });
// @ts-expect-error nor a constructor that is not in the list
new Schema({ properties: { when: RegExp } });
// @ts-expect-error the short form has the same types
new Schema({ age: 33 });
// @ts-expect-error an unknown element type
new Schema({ properties: { tags: { type: Array, items: "string" } } });
// @ts-expect-error a reference leads to a store
new Schema({ properties: { author: { type: Key, ref: 5 } } });
// @ts-expect-error and takes its items
(({}) as Item<Post>).author = "7";
// @ts-expect-error a schema needs a definition
new Schema();
// @ts-expect-error key types are marks, not values
new Key();
// @ts-expect-error key types are marks, not values
new NumberKey();
// @ts-expect-error a number is not text, also deep inside
export const lat: string = ({} as Person).address.geo.lat;
// @ts-expect-error the elements are text
export const tag: number = ({} as Person).tags[0];
// @ts-expect-error keys are given by their targets
(({}) as Item<Person>).id = "7";
// @ts-expect-error keys are given by their targets
(({}) as Item<Person>)._id = "7";
// @ts-expect-error renamed, so the default name is gone
(({}) as Item<ValuesOf<typeof renamed>>).id;
// @ts-expect-error constants are not to be replaced
constants.SOURCE = {};

// Validators of other packages.
new Schema({ properties: { name: String }, validate: z.object({ name: z.string() }) });
// @ts-expect-error -- no validator
new Schema({ properties: { name: String }, validate: (value: unknown) => value });
// @ts-expect-error -- a migration is a function
new Schema({ properties: { name: String }, version: 2, migrations: { 2: "row" } });
