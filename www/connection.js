/** The state of the connection in the page's header, and its changes for screen readers. */
const STATES = {
  online: { icon: "icon-online", text: "Online", sentence: "Online. Edits arrive on the server." },
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
    const parked = edits.filter(({ state }) => state === "parked").length;
    const waiting = edits.length - parked;
    const { icon, text } = STATES[connection];
    this.#pill.dataset.state = connection;
    this.#pill.querySelector("use").setAttribute("href", `#${icon}`);
    this.#part("text").textContent = text;
    this.#part("count").hidden = edits.length === 0;
    this.#part("count").textContent = waiting > 0 ? `${waiting} waiting` : `${parked} refused`;
    this.#announce(connection, waiting, parked);
  }

  /** Not a word while edits are on their way: with a working network that is every key. */
  #announce(connection, waiting, parked) {
    if (connection === "online" && waiting > 0) return;
    const refused = parked > 0 ? ` ${parked} refused by the server.` : "";
    const text = STATES[connection].sentence + refused;
    if (text === this.#said) return;
    this.#said = text;
    this.#announcer.say("connection", text);
  }

  #part(name) {
    return this.#pill.querySelector(`[data-part="${name}"]`);
  }
}
