/** The document: elements by their ids, and text that changes. Nothing received is read as HTML. */

/** An element that `index.html` has. */
export function byId<E extends Element = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found as unknown as E;
}

export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  className: string,
  ...content: (string | Node)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.className = className;
  made.append(...content);
  return made;
}

/** Sets text only where it is another: screen readers speak each change of a live region. */
export function say(target: Element, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

export function onSubmit(form: HTMLElement, act: () => void): void {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    act();
  });
}
