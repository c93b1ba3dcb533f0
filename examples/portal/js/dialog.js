import { focusOn, h, newId } from "./dom.js";

let open = null;

/**
 * A modal dialog; one that is open makes way. `onclose` is called when the person closes it (button, Escape), not when
 * another page or dialog takes its place. The browser keeps the focus inside, and gives it back afterwards.
 */
export function openDialog(onclose) {
  const heading = h("h2", { id: newId("title") });
  const content = h("div.dialog-content");
  const close = () => {
    element.close();
    element.remove();
    if (open !== element) return;
    open = null;
    onclose?.(); // at once: the focus is back, and whoever is quick presses there what must come after this
  };
  const element = h(
    "dialog",
    { "aria-labelledby": heading.id },
    h("div.dialog-top", {}, heading, h("button.close", { type: "button", "aria-label": "Tutup", onclick: close }, "×")),
    content,
    h("div.announcer", { role: "status" }),
  );
  const view = {
    content,
    close,
    /** Another step: a new title and content, read from its heading on. */
    show(title, ...children) {
      heading.textContent = title;
      content.replaceChildren(...children.flat().filter(Boolean));
      element.scrollTop = 0;
      focusOn(heading);
    },
    /** As `show`, while something is being waited for. */
    busy(title, text) {
      view.show(title, h("p.busy", {}, h("span.spinner", { "aria-hidden": "true" }), text));
    },
  };
  for (const escape of ["cancel", "close"]) element.addEventListener(escape, close);
  closeDialog();
  open = element;
  document.body.append(element);
  element.showModal();
  return view;
}

/** Closes whatever dialog is open, without calling its `onclose`. */
export function closeDialog() {
  const element = open;
  open = null;
  element?.close(); // gives the focus back to where it was before
  element?.remove();
}
