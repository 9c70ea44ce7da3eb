/** The list of people and the form that adds one. Newest first; a card stays the same element as long as its item. */
import { PersonCard } from "./person.js";
import { fullName } from "./store.js";

export class PeopleList {
  #store;
  #announcer;
  #cards = new Map();
  #list = document.querySelector("#people");
  #form = document.querySelector("#add");

  constructor(store, announcer) {
    this.#store = store;
    this.#announcer = announcer;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add();
    });
    this.#form.querySelector("button").disabled = false;
  }

  render() {
    const people = this.#store.items.toReversed();
    if (people.length === 0 && !this.#store.loaded) return;
    this.#list.removeAttribute("aria-busy");
    for (const skeleton of this.#list.querySelectorAll(".skeleton")) skeleton.remove();
    this.#dropCardsOfOthers(people);
    people.forEach((person, index) => {
      const card = this.#cardOf(person);
      if (this.#list.children[index] !== card.element) this.#place(card.element, index);
      card.render();
    });
    document.querySelector("#people-count").textContent = people.length === 1 ? "1 person" : `${people.length} people`;
    document.querySelector("#people-empty").hidden = people.length > 0;
  }

  #cardOf(person) {
    let card = this.#cards.get(person.__id);
    if (!card) {
      card = new PersonCard(person, () => this.#remove(person));
      this.#cards.set(person.__id, card);
    }
    return card;
  }

  #dropCardsOfOthers(people) {
    const here = new Set(people.map((person) => person.__id));
    for (const [__id, card] of this.#cards) {
      if (here.has(__id)) continue;
      card.element.remove();
      this.#cards.delete(__id);
    }
  }

  /** Moving an element takes the focus from what is inside it, so the focused card stays and the others move. */
  #place(element, index) {
    const focused = element.contains(document.activeElement) ? document.activeElement : undefined;
    this.#list.insertBefore(element, this.#list.children[index] ?? null);
    focused?.focus({ preventScroll: true });
  }

  #add() {
    const { firstName, lastName } = this.#form.elements;
    const person = this.#store.create({
      firstName: firstName.value.trim(),
      lastName: lastName.value.trim(),
      email: "",
      vip: false,
      tags: [],
      address: { city: "" },
    });
    this.#form.reset();
    firstName.focus();
    this.#announcer.say("person", `${fullName(person)} added.`);
  }

  #remove(person) {
    const { element } = this.#cards.get(person.__id);
    const neighbour = element.nextElementSibling ?? element.previousElementSibling;
    const target = neighbour?.querySelector("[data-part=remove]") ?? this.#form.elements.firstName;
    const name = fullName(person);
    person.remove();
    target.focus();
    this.#announcer.say("person", `${name} deleted.`);
  }
}
