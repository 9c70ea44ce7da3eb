/** The picture of where the edits are: this device, the queue, the server. */
export class FlowView {
  #store;
  #flow = document.querySelector("#flow");

  constructor(store) {
    this.#store = store;
  }

  render() {
    const { items, status } = this.#store;
    const edits = this.#store.pending();
    this.#flow.dataset.connection = status.connection;
    this.#flow.dataset.sending = String(edits.some(({ state }) => state === "sending"));
    this.#flow.dataset.waiting = String(edits.length > 0);
    this.#count("device", items.filter(({ stored }) => stored).length);
    this.#count("queue", edits.length);
    this.#count("server", items.filter(({ synced }) => synced).length);
  }

  #count(node, number) {
    const text = String(number);
    const box = this.#flow.querySelector(`[data-testid="flow-${node}"]`);
    if (box.textContent !== text) box.textContent = text;
  }
}
