/** The people: their schema, and the store that keeps them here and on the server. */

/** Makes the store from the loaded package, which is given so that a page without it can still say so. */
export function createPeopleStore({ Schema, Store, HttpTransporter, IndexedDbClientStorage }) {
  const schema = new Schema({
    properties: {
      firstName: String,
      lastName: String,
      email: String,
      age: Number,
      vip: Boolean,
      joined: Date,
      tags: { type: Array, items: String },
      address: { properties: { city: String } },
    },
  });
  return new Store({
    schema,
    transporter: new HttpTransporter({ baseUrl: "/api", path: "people" }),
    clientStorage: new IndexedDbClientStorage({ database: "concordia-demo" }),
  });
}

/** What a person is called in the queue and in announcements. */
export function fullName(person) {
  return [person.firstName, person.lastName].filter(Boolean).join(" ") || "Someone without a name";
}
