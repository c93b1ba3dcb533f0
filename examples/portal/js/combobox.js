import { announce, h, newId } from "./dom.js";
import { described } from "./form.js";
import { title } from "./texts.js";

const PAUSE = 200; // milliseconds without a key before the service is asked

/**
 * A field whose value is found by typing (the ARIA combobox pattern). `search(q)` answers `{options: [{id, name, note}],
 * more}`, and perhaps why there are none; `onpick` hears of the option picked, and of null when the text is changed again.
 * `value()` is its id or "".
 */
export function combobox({ name, label, hint, search, onpick = () => {} }) {
  const listId = newId("list");
  const input = h("input", {
    id: newId("field"),
    name,
    type: "text",
    role: "combobox",
    autocomplete: "off",
    "aria-required": "true",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": listId,
  });
  const list = h("ul.options", { id: listId, role: "listbox", "aria-label": label, hidden: true });
  const whole = h("p.hint.picked"); // a name may be longer than the field
  const made = described(input, name, label, hint, list, whole);
  let options = [];
  let picked = null;
  let active = -1;
  let asked = 0;
  let timer;

  input.addEventListener("input", () => {
    pick(null);
    clearTimeout(timer);
    timer = setTimeout(find, PAUSE);
  });
  input.addEventListener("click", () => list.hidden && find());
  input.addEventListener("blur", hide);
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays in the input
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (list.hidden) find();
      else move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && !list.hidden && active >= 0) {
      event.preventDefault();
      choose(options[active]);
    } else if (event.key === "Escape" && !list.hidden) {
      event.preventDefault(); // closes the list, not the dialog around it
      hide();
    }
  });

  async function find() {
    const turn = ++asked;
    try {
      const found = await search(picked ? "" : input.value.trim());
      if (turn === asked && document.activeElement === input) show(found);
    } catch (problem) {
      if (turn === asked) made.fail(`${title(problem)} Ketik lagi untuk mencoba lagi.`);
    }
  }

  function show(found) {
    options = found.options;
    made.fail(null);
    list.replaceChildren(...options.map(line), ...(found.more ? [remark("Masih ada yang lain: ketik lebih banyak.")] : []));
    const none = found.none ?? "Tidak ditemukan. Coba kata lain.";
    if (!options.length) list.append(remark(none));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    activate(-1);
    announce(options.length ? `${options.length} pilihan` : none);
  }

  function line(option) {
    const item = h("li", { id: newId("option"), role: "option", "aria-selected": "false" }, option.name);
    if (option.note) item.append(h("small", {}, option.note));
    item.addEventListener("click", () => choose(option));
    return item;
  }

  const remark = (text) => h("li.remark", { role: "presentation" }, text);

  function move(by) {
    if (options.length) activate((active + by + options.length) % options.length);
  }

  function activate(index) {
    active = index;
    options.forEach((_, at) => list.children[at].setAttribute("aria-selected", String(at === index)));
    if (index < 0) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", list.children[index].id);
    list.children[index].scrollIntoView({ block: "nearest" });
  }

  function choose(option) {
    input.value = option.name;
    pick(option);
    hide();
    made.fail(null);
  }

  function pick(option) {
    if (picked === option) return;
    picked = option;
    const cut = input.scrollWidth > input.clientWidth && option?.name;
    whole.textContent = [cut, option?.note].filter(Boolean).join(" · ");
    onpick(option);
  }

  function hide() {
    asked++; // an answer that is still on its way comes too late
    clearTimeout(timer);
    list.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  return {
    ...made,
    value: () => picked?.id ?? "",
    missing: () => (input.value.trim() ? "Pilih salah satu dari daftar." : "Wajib diisi."),
    clear() {
      input.value = "";
      pick(null);
    },
  };
}
