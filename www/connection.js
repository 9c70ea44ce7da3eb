/** The state of the connection in the page's header, and its changes for screen readers. */
const STATES = {
  online: { icon: "icon-online", text: "Online", sentence: "Online." },
  offline: { icon: "icon-offline", text: "Offline", sentence: "Offline. Edits are kept on this device." },
  held: { icon: "icon-pause", text: "Held", sentence: "Held: the server asks who you are. Edits are kept." },
  paused: { icon: "icon-pause", text: "Paused", sentence: "Paused. Edits are kept on this device." },
};

export class ConnectionPill {
  #store;
  #announcer;
  #pill = document.querySelector("#connection");
  #said = "";

  constructor(store, announcer) {
    this.#store = store;
    this.#announcer = announcer;
  }

  render() {
    const { connection } = this.#store.status;
    const edits = this.#store.pending();
    const { icon, text } = STATES[connection];
    this.#pill.dataset.state = connection;
    this.#pill.dataset.waiting = String(edits.length);
    this.#pill.querySelector("use").setAttribute("href", `#${icon}`);
    this.#part("text").textContent = text;
    this.#part("count").hidden = edits.length === 0;
    this.#part("count").textContent = `${edits.length} waiting`;
    this.#announce(connection, edits);
  }

  #announce(connection, edits) {
    const parked = edits.filter(({ state }) => state === "parked").length;
    const sentence = [
      STATES[connection].sentence,
      edits.length === 0 && "Every edit is on the server.",
      edits.length > 0 && "Edits are waiting.",
      parked > 0 && `${parked} refused by the server.`,
    ];
    const text = sentence.filter(Boolean).join(" ");
    if (text === this.#said) return;
    this.#said = text;
    this.#announcer.say(text);
  }

  #part(name) {
    return this.#pill.querySelector(`[data-part="${name}"]`);
  }
}
