import { Problem } from "./api.js";
import { h, newId } from "./dom.js";
import { advice, title } from "./texts.js";

/** What is sent to the service under `name`. `check` answers what is wrong with a value that is not empty, or null. */
export function field({ name, label, hint = null, value = "", check = () => null, tag = "input", ...attributes }) {
  const id = newId("field");
  const input = h(tag, { id, name, "aria-required": "true", ...attributes });
  input.value = value;
  return { ...described(input, name, label, hint), check };
}

/** The label, hint and error around an input, tied together for those who hear the page. */
export function described(input, name, label, hint, ...beside) {
  const error = h("p.field-error", { id: `${input.id}-error` });
  const help = hint && h("p.hint", { id: `${input.id}-hint` }, hint);
  const texts = [help?.id, error.id].filter(Boolean).join(" ");
  input.setAttribute("aria-describedby", texts);
  const node = h("div.field", {}, h("label", { for: input.id }, label), help, input, ...beside, error);
  return {
    name,
    input,
    node,
    check: () => null,
    missing: () => "Wajib diisi.",
    value: () => input.value,
    /** Says what is wrong, with an action that mends it where there is one; null takes it back. */
    fail(text, action = null) {
      input.toggleAttribute("aria-invalid", false);
      if (text) input.setAttribute("aria-invalid", "true");
      error.replaceChildren(...[text && `${text} `, text && action].filter(Boolean));
    },
  };
}

export function passwordField({ name = "password", label = "Kata sandi", hint = null, autocomplete }) {
  const made = field({ name, label, hint, type: "password", autocomplete, maxlength: 256 });
  const toggle = h("button.link", { type: "button", "aria-pressed": "false" }, "Tampilkan kata sandi");
  toggle.addEventListener("click", () => {
    const shown = made.input.type === "password";
    made.input.type = shown ? "text" : "password";
    toggle.setAttribute("aria-pressed", String(shown));
  });
  made.node.append(toggle);
  return made;
}

/** One of several, as radio buttons; a single one is chosen already. `options` are `[{id, name, note}]`. */
export function choice({ name, legend, options }) {
  const group = newId("choice");
  const error = h("p.field-error", { id: `${group}-error` });
  const inputs = options.map(({ id }) => h("input", { type: "radio", id: newId("radio"), name: group, value: id }));
  inputs[0].checked = options.length === 1;
  const line = (option, at) =>
    h("label.radio", { for: inputs[at].id }, inputs[at], h("span", {}, option.name, option.note && h("small", {}, option.note)));
  return {
    name,
    input: inputs[0],
    node: h("fieldset", { "aria-describedby": error.id }, h("legend", {}, legend), options.map(line), error),
    check: () => null,
    missing: () => "Pilih salah satu.",
    value: () => inputs.find((one) => one.checked)?.value ?? "",
    fail: (text) => error.replaceChildren(text ?? ""),
  };
}

/**
 * A form over `fields`. `send(values)` does the work; a Problem that it throws is shown where it belongs: at the fields
 * that the service names, at the field that `places[code]` names, or above the form. What was typed stays, but for
 * passwords. While it is being sent a second click does nothing.
 */
export function form({ fields, submit, send, places = {}, actions = {}, after = [], onproblem = () => false }) {
  const summary = h("div.form-error", { role: "alert" });
  const go = h("button.primary", { type: "submit" }, submit);
  const element = h("form", { novalidate: true }, summary, fields.map((one) => one.node), h("div.buttons", {}, go), after);
  let sending = false;

  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (sending) return;
    summary.replaceChildren();
    if (!complete(fields)) return;
    sending = true;
    go.setAttribute("aria-disabled", "true");
    go.textContent = "Mengirim…";
    try {
      await send(Object.fromEntries(fields.map((one) => [one.name, one.value()])));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      if (!onproblem(problem)) show(problem);
    } finally {
      sending = false;
      go.removeAttribute("aria-disabled");
      go.textContent = submit;
    }
  });

  function show(problem) {
    const passwords = fields.filter((one) => one.name === "password");
    passwords.forEach((one) => (one.input.value = ""));
    const placed = place(problem);
    (placed ?? passwords[0]?.input ?? go).focus({ preventScroll: !placed });
    if (placed) return;
    summary.replaceChildren(...problemTexts(problem), ...(failed(problem) ? [kept(passwords.length)] : []));
    summary.scrollIntoView({ block: "nearest" });
  }

  function place(problem) {
    const named = problem.errors.map(({ field: name, message }) => [find(name), message, null]);
    const at = places[problem.code];
    if (at && !named.length) named.push([find(at), title(problem), actions[problem.code]?.()]);
    if (!named.length || named.some(([one]) => !one)) return null;
    named.forEach(([one, text, action]) => one.fail(text, action));
    return fields.find((one) => named.some(([wrong]) => wrong === one)).input;
  }

  const find = (name) => fields.find((one) => one.name === name);

  return element;
}

/** Marks what is missing or cannot be right, and goes to the first of it. */
function complete(fields) {
  const wrong = fields.filter((one) => {
    const value = one.value();
    const text = value.trim() === "" ? one.missing() : one.check(value.trim());
    one.fail(text);
    return text;
  });
  wrong[0]?.input.focus();
  return wrong.length === 0;
}

/** Not refused for what it says: the same may be sent again. */
const failed = ({ status }) => status === 0 || status === 429 || status >= 500;

const kept = (passwords) => h("p", {}, `Isian Anda masih ada${passwords ? ", kecuali kata sandi" : ""}.`);

/** What is wrong, what to do next, and the number that operators ask for. */
export function problemTexts(problem) {
  const number = problem.body.request_id;
  return [
    h("p", {}, h("strong", {}, title(problem)), ` ${advice(problem)}`),
    number && problem.status >= 500 ? h("p.request", {}, `Nomor permintaan: ${number}`) : null,
  ].filter(Boolean);
}

/** A box with what is wrong; `again` tries once more. */
export function problemBox(problem, again, ...more) {
  const retry = again && h("button.primary", { type: "button", onclick: again }, "Coba lagi");
  return h("div.problem", { role: "alert" }, problemTexts(problem), h("div.buttons", {}, retry, ...more));
}
