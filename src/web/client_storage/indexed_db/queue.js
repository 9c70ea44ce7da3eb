// The order of the batches when they cannot all be issued at once. Owns tickets and turns; knows nothing of what is
// written.

/** The batches that have not ended, in the order of their calls. */
export class Queue {
  #open = new Set();
  #waiting = 0;

  enter() {
    const ticket = { waits: false };
    ticket.ended = new Promise((end) => (ticket.end = end));
    this.#open.add(ticket);
    return ticket;
  }

  /** Whether a batch is waiting, or is being written out of the fast lane: then later batches wait too. */
  get isJammed() {
    return this.#waiting > 0;
  }

  /** Settles when all earlier batches have ended. Repeated batches must not overtake each other. */
  turn(ticket) {
    if (!ticket.waits) this.#waiting++;
    ticket.waits = true;
    const open = [...this.#open];
    return Promise.all(open.slice(0, open.indexOf(ticket)).map((earlier) => earlier.ended));
  }

  leave(ticket) {
    this.#open.delete(ticket);
    if (ticket.waits) this.#waiting--;
    ticket.end();
  }
}
