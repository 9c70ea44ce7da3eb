/** Client storage in memory, written in page script. `records`: by client storage's key. */
import { ClientStorage } from "../../../pkg/index.js";

export class Shelf extends ClientStorage {
  records;

  constructor(records = []) {
    super();
    this.records = new Map(records);
  }

  _prepareSend(item) {
    return item;
  }

  _send({ action, _id, payload }) {
    if (action === "delete") this.records.delete(_id);
    else this.records.set(_id, structuredClone(payload));
  }

  _fetch() {
    return [...this.records.values()];
  }
}
