/** Tells screen readers what happened: once things are quiet, and the last word on each topic only. */
const PAUSE_MS = 700;

export class Announcer {
  #region;
  #timer;
  #sentences = new Map();

  constructor(region) {
    this.#region = region;
  }

  say(topic, sentence) {
    this.#sentences.set(topic, sentence);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#speak(), PAUSE_MS);
  }

  #speak() {
    this.#region.textContent = [...this.#sentences.values()].join(" ");
    this.#sentences.clear();
  }
}
