/** Rows of 8 fields: 3 texts, 2 numbers, a boolean, a list of 3 texts, a nested object of 3 fields. */
const FIRST = ["Ada", "Bea", "Cyd", "Dan", "Eve", "Fay", "Gus", "Hal"];
const LAST = ["Archer", "Baker", "Carter", "Dyer", "Fisher", "Glover", "Hunter"];
const CITIES = ["Aachen", "Bergen", "Cádiz", "Dijon", "Évora"];

export function row(number) {
  return {
    firstName: `${FIRST[number % FIRST.length]} ${number}`,
    lastName: `${LAST[number % LAST.length]} ${number}`,
    email: `person${number}@example.org`,
    age: 18 + (number % 60),
    score: number / 8,
    active: number % 3 === 0,
    tags: [`group ${number % 7}`, "member", `row ${number}`],
    address: {
      street: `Main Street ${number}`,
      zip: String(10_000 + number),
      city: CITIES[number % CITIES.length],
    },
  };
}

export const allRows = (count) => Array.from({ length: count }, (_, index) => row(index));
