/** Tells screen readers what happened, one sentence at a time and not on every key. */
const PAUSE_MS = 700;

export class Announcer {
  #region;
  #timer;

  constructor(region) {
    this.#region = region;
  }

  /** Of several sentences in quick succession the last one is read. */
  say(sentence) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#region.textContent = sentence;
    }, PAUSE_MS);
  }
}
