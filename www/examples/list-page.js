/**
 * The list that all examples show: items that can be added, edited and removed, where each of them is (on this device,
 * on the server, refused), and the connection. Knows stores and the page's HTML; nothing of transporters or storages.
 *
 * The inputs of the page's `<template id="item">` and of its form say by their `name` which property they are for.
 */
const CONNECTIONS = {
  online: { text: "Online", sentence: "Online." },
  offline: { text: "Offline", sentence: "Offline. Edits are kept until the server is back." },
  held: { text: "Signed out", sentence: "Signed out. Edits are kept until you sign in." },
  paused: { text: "Paused", sentence: "Paused. Edits are kept." },
};

/** How an input shows a value, and gives one, by its type. */
const INPUTS = {
  checkbox: { show: (input, value) => (input.checked = value === true), read: (input) => input.checked },
  date: { show: (input, value) => (input.valueAsDate = value ?? null), read: (input) => input.valueAsDate },
  number: {
    show: (input, value) => (input.value = value ?? ""),
    read: (input) => (input.value === "" ? null : input.valueAsNumber),
  },
  text: { show: (input, value) => (input.value = value ?? ""), read: (input) => input.value.trim() },
};

/** Opens the store and shows it. What `openStore` throws is shown, too. */
export async function showStore(openStore) {
  try {
    const store = await openStore();
    const page = new ListPage(store);
    store.subscribe(() => page.render());
    page.render();
    await store.onceLoaded();
    page.render();
    return store;
  } catch (error) {
    showFailure(error);
    throw error;
  }
}

class ListPage {
  #store;
  #entries = new Map();
  #list = document.querySelector("#items");
  #form = document.querySelector("#add");
  #said = "";

  constructor(store) {
    this.#store = store;
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#add();
    });
    this.#form.querySelector("button").disabled = false;
  }

  render() {
    const { items, loaded } = this.#store;
    if (items.length > 0 || loaded) this.#list.removeAttribute("aria-busy");
    this.#dropEntriesOfOthers(items);
    const pending = this.#store.pending();
    items.forEach((item, index) => {
      const { element } = this.#entryOf(item);
      if (this.#list.children[index] !== element) this.#list.insertBefore(element, this.#list.children[index] ?? null);
      this.#entryOf(item).render(pending.find((edit) => edit.item === item && edit.state === "parked"));
    });
    document.querySelector("#empty").hidden = items.length > 0 || !loaded;
    this.#renderConnection(pending);
    this.#renderStorage();
  }

  #entryOf(item) {
    let entry = this.#entries.get(item.__id);
    if (!entry) {
      entry = new Entry(item, () => this.#remove(item));
      this.#entries.set(item.__id, entry);
    }
    return entry;
  }

  #dropEntriesOfOthers(items) {
    const here = new Set(items.map((item) => item.__id));
    for (const [__id, entry] of this.#entries) {
      if (here.has(__id)) continue;
      entry.element.remove();
      this.#entries.delete(__id);
    }
  }

  #add() {
    const inputs = [...this.#form.querySelectorAll("input")];
    const values = inputs.map((input) => [input.name, INPUTS[input.type].read(input)]);
    const item = this.#store.create(Object.fromEntries(values.filter(([, value]) => value !== null)));
    this.#form.reset();
    inputs[0].focus();
    this.#say(`${item.title} added.`);
  }

  /** The focus goes to the neighbour, so that the keyboard does not fall out of the list. */
  #remove(item) {
    const { element } = this.#entryOf(item);
    const neighbour = element.nextElementSibling ?? element.previousElementSibling;
    const target = neighbour?.querySelector("[data-part=remove]") ?? this.#form.querySelector("input");
    const name = nameOf(item);
    item.remove();
    target.focus();
    this.#say(`${name} removed.`);
  }

  #renderConnection(pending) {
    const { connection } = this.#store.status;
    const refused = pending.filter(({ state }) => state === "parked").length;
    const waiting = pending.length - refused;
    const pill = document.querySelector("#connection");
    const { text, sentence } = CONNECTIONS[connection];
    const counts = [waiting > 0 && `${waiting} waiting`, refused > 0 && `${refused} refused`].filter(Boolean);
    pill.dataset.state = connection;
    pill.textContent = [text, ...counts].join(" · ");
    if (this.#said === connection) return;
    this.#said = connection;
    this.#say(sentence);
  }

  #renderStorage() {
    const { durable, storageError } = this.#store.status;
    const notice = document.querySelector("#notice");
    notice.hidden = durable;
    if (!durable)
      notice.textContent = `This browser does not keep the edits now: ${storageError?.message ?? "no storage"}`;
  }

  #say(sentence) {
    document.querySelector("#announcer").textContent = sentence;
  }
}

/** One item of the list. A field that has the focus is not written to, so that nobody is interrupted. */
class Entry {
  element = document.querySelector("#item").content.firstElementChild.cloneNode(true);
  #item;
  #inputs = [...this.element.querySelectorAll("input")];
  #parked;

  constructor(item, onRemove) {
    this.#item = item;
    for (const input of this.#inputs) {
      input.addEventListener("change", () => this.#assign(input));
      input.addEventListener("blur", () => this.#show(input));
    }
    this.#part("remove").addEventListener("click", onRemove);
    this.#part("retry").addEventListener("click", () => this.#parked?.retry());
    this.#part("discard").addEventListener("click", () => this.#parked?.discard());
  }

  render(parked) {
    this.#parked = parked;
    const name = nameOf(this.#item);
    this.element.querySelector("[role=group]").setAttribute("aria-label", name);
    for (const input of this.#inputs) if (input !== document.activeElement) this.#show(input);
    for (const action of ["remove", "retry", "discard"]) {
      const button = this.#part(action);
      button.setAttribute("aria-label", `${button.textContent.trim()}: ${name}`);
      button.hidden = action !== "remove" && !parked;
    }
    this.#renderBadges();
    const reason = parked ? explain(parked.reason) : "";
    this.#part("reason").hidden = reason === "";
    if (this.#part("reason").textContent !== reason) this.#part("reason").textContent = reason;
  }

  #show(input) {
    INPUTS[input.type].show(input, this.#item[input.name]);
  }

  /** An edit of what was refused is meant to put it right: it is sent again. */
  #assign(input) {
    if (input.validity.badInput) return;
    this.#item[input.name] = INPUTS[input.type].read(input);
    this.#parked?.retry();
  }

  #renderBadges() {
    const { stored, synced } = this.#item;
    badge(this.#part("stored"), stored ? "yes" : "no", stored ? "On this device" : "Not kept yet");
    if (this.#parked) badge(this.#part("synced"), "refused", "Refused");
    else badge(this.#part("synced"), synced ? "yes" : "no", synced ? "On the server" : "Not sent yet");
  }

  #part(name) {
    return this.element.querySelector(`[data-part="${name}"]`);
  }
}

const nameOf = (item) => item.title || "Untitled";

function badge(element, state, text) {
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.textContent = text;
}

/** The server's own words where it gave any (RFC 9457), else the package's. */
function explain({ body, message, status }) {
  const words = body?.detail ?? body?.title ?? message;
  return status ? `${words} (${status})` : words;
}

function showFailure(error) {
  const notice = document.querySelector("#notice");
  notice.hidden = false;
  notice.textContent = `The page could not start. Reload it to try again. The reason: ${error.message}`;
  document.querySelector("#items").removeAttribute("aria-busy");
}
