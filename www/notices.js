/** Messages across the page that stay until their cause is gone. One per name. */
export class Notices {
  #box;
  #shown = new Map();

  constructor(box) {
    this.#box = box;
  }

  /** `action` puts a button beside the text: `{ label, run }`. */
  show(name, text, { kind = "warning", action } = {}) {
    if (this.#shown.get(name)?.dataset.text === text) return;
    this.hide(name);
    const notice = document.createElement("div");
    notice.className = "notice";
    notice.dataset.kind = kind;
    notice.dataset.testid = `notice-${name}`;
    notice.dataset.text = text;
    notice.setAttribute("role", kind === "error" ? "alert" : "status");
    const paragraph = document.createElement("p");
    paragraph.textContent = text;
    notice.append(paragraph);
    if (action) notice.append(actionButton(action));
    this.#box.append(notice);
    this.#shown.set(name, notice);
  }

  hide(name) {
    this.#shown.get(name)?.remove();
    this.#shown.delete(name);
  }
}

function actionButton({ label, run }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.textContent = label;
  button.addEventListener("click", run);
  return button;
}
