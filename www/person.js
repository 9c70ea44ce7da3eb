/**
 * One person's card: every key that is typed is an assignment to the item. The field that has the focus is never
 * written to, so that the caret stays where it is; it shows what the item holds when it is left.
 */
import { fullName } from "./store.js";

/** How each field shows an item's value, and how it assigns what was typed. */
const FIELDS = {
  firstName: textField("firstName"),
  lastName: textField("lastName"),
  email: textField("email"),
  city: {
    show: (person, input) => (input.value = person.address?.city ?? ""),
    assign: (person, input) => (person.address = { city: input.value }),
  },
  age: {
    show: (person, input) => (input.value = person.age ?? ""),
    assign: (person, input) => (person.age = input.value === "" ? null : input.valueAsNumber),
  },
  joined: {
    show: (person, input) => (input.valueAsDate = person.joined ?? null),
    assign: (person, input) => (person.joined = input.valueAsDate),
  },
  tags: {
    show: (person, input) => (input.value = (person.tags ?? []).join(", ")),
    assign: (person, input) => {
      const tags = tagsIn(input.value);
      if (tags.join() !== (person.tags ?? []).join()) person.tags = tags;
    },
  },
  vip: {
    show: (person, input) => (input.checked = person.vip === true),
    assign: (person, input) => (person.vip = input.checked),
  },
};

export class PersonCard {
  element;
  #person;
  #inputs;
  #mistake = "";

  constructor(person, onRemove) {
    this.#person = person;
    const template = document.querySelector("#person-template");
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.dataset.id = person.__id;
    this.#inputs = [...this.element.querySelectorAll("input")];
    for (const input of this.#inputs) {
      input.addEventListener("input", () => this.#assign(input));
      input.addEventListener("blur", () => this.#show(input));
    }
    this.#part("remove").addEventListener("click", onRemove);
  }

  render() {
    const name = fullName(this.#person);
    this.element.querySelector("[role=group]").setAttribute("aria-label", name);
    this.#part("remove").setAttribute("aria-label", `Delete ${name}`);
    for (const input of this.#inputs) {
      if (input !== document.activeElement) this.#show(input);
    }
    this.#renderBadges();
    this.#renderError();
  }

  #show(input) {
    if (input.getAttribute("aria-invalid") === "true") return;
    FIELDS[input.name].show(this.#person, input);
  }

  /** A value that the store does not take stays in the field, with the reason below it. */
  #assign(input) {
    this.#mistake = "";
    if (input.validity.badInput) this.#mistake = `This is not a ${input.type}.`;
    else {
      try {
        FIELDS[input.name].assign(this.#person, input);
      } catch (error) {
        this.#mistake = error.message;
      }
    }
    if (this.#mistake) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    this.#renderError();
  }

  #renderBadges() {
    const { stored, synced, error } = this.#person;
    if (stored) renderBadge(this.#part("stored"), "yes", "icon-device", "On this device");
    else renderBadge(this.#part("stored"), "no", "icon-clock", "Not kept yet");
    if (error) renderBadge(this.#part("synced"), "refused", "icon-alert", "Refused");
    else if (synced) renderBadge(this.#part("synced"), "yes", "icon-server", "On the server");
    else renderBadge(this.#part("synced"), "no", "icon-clock", "Not sent yet");
  }

  #renderError() {
    const box = this.#part("error");
    const text = this.#mistake || (this.#person.error?.message ?? "");
    box.hidden = text === "";
    if (box.textContent !== text) box.textContent = text;
  }

  #part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }
}

function textField(name) {
  return {
    show: (person, input) => (input.value = person[name] ?? ""),
    assign: (person, input) => (person[name] = input.value),
  };
}

function tagsIn(text) {
  return text
    .split(",")
    .map((tag) => tag.trim())
    .filter(Boolean);
}

function renderBadge(badge, state, icon, text) {
  if (badge.dataset.state === state) return;
  badge.dataset.state = state;
  badge.querySelector("use").setAttribute("href", `#${icon}`);
  badge.querySelector("[data-part=text]").textContent = text;
}
