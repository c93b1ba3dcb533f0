/**
 * An element: h("p.note", {id: "a", onclick: f, "aria-label": "x"}, "text", child, …).
 * Text goes in as text, never as markup; null and false children are left out.
 */
export function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let ids = 0;

/** An id that no other element of the page has. */
export const newId = (word) => `${word}-${++ids}`;

/** A description list of those pairs that have a value. */
export function facts(pairs) {
  const known = Object.entries(pairs).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl.facts", {}, known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

export function button(label, onclick, kind = "primary", props = {}) {
  return h(`button.${kind}`, { type: "button", onclick, ...props }, label);
}

/** Shows one message above the page and has it read out; the next one, or the next page, takes its place. */
export function notice(text, more = null) {
  const place = document.getElementById("notice");
  place.replaceChildren();
  if (text) place.append(h("div.notice", {}, h("strong", {}, text), more ? ` ${more}` : ""));
}

/** Has a text read out without showing it. What lies outside an open modal dialog is silent, so each has a place. */
export function announce(text) {
  const place = document.querySelector("dialog[open] .announcer") ?? document.getElementById("notice");
  const line = h("span.visually-hidden", {}, text);
  place.querySelectorAll(".visually-hidden").forEach((old) => old.remove());
  place.append(line);
}

/** Moves the focus to a heading, for those who do not see that the page changed. */
export function focusOn(heading) {
  heading.tabIndex = -1;
  heading.focus();
}
