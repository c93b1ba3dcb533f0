import { call, Problem } from "./api.js";
import { button, facts, h, newId, notice } from "./dom.js";
import { problemBox } from "./form.js";
import * as lihat from "./lihat.js";
import { go, rename, replace } from "./router.js";
import { badge, stateText } from "./satker.js";
import { tambah } from "./tambah.js";
import { tabs } from "./tabs.js";
import { time } from "./texts.js";

export const title = "Satuan Kerja";
export const section = "profil";
export const key = () => "profil";

const LIST = "/profil/satuan-kerja";
const SIZES = [10, 25, 50, 100];
const COLUMNS = [
  ["klpd_name", "K/L/P/D"],
  ["satker_name", "Satuan Kerja"],
  ["updated_at", "Terakhir berubah"],
];

let reload = async () => {};
let where = LIST; // the list as it was last shown: its page, order and words

/** The primary satker, then the others as a table; both anew after each change. */
export async function draw(content, { query, signal }) {
  const primary = h("section.panel", { "aria-labelledby": "utama" }, h("h2", { id: "utama" }, "Satuan Kerja Utama"));
  const place = h("div");
  primary.append(place);
  const trouble = h("div");
  const table = additional(query, signal);
  const load = () => Promise.all([drawPrimary(place, table.add, signal), table.load()]);
  reload = () => guarded(trouble, load);
  content.append(tabs("satuan-kerja"), trouble, primary, table.node);
  await load();
}

/** What does not work is said at `place`, with another try; what is shown stays. */
async function guarded(place, work) {
  try {
    await work();
    place.replaceChildren();
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    place.replaceChildren(problemBox(problem, () => guarded(place, work)));
  }
}

/** Adding, or one satker, above the list. */
export function overlay({ add, id, query, signal }) {
  const close = () => replace(where);
  const changed = async (text, more) => {
    close();
    await reload();
    notice(text, more);
    document.querySelector("#tambahan").focus();
  };
  if (add) tambah({ signal, onclose: close, changed });
  if (id) lihat.show({ id, remove: query.has("hapus"), signal, onclose: close, changed, gone: () => reload() });
}

/** The first one is added here, further ones by `more`: never both are shown. */
async function drawPrimary(place, more, signal) {
  const { body } = await call("GET", "/v1/satkers", { query: { is_primary: true }, signal });
  const [satker] = body.items;
  more.hidden = !satker;
  if (!satker) {
    const add = h("a.button.primary", { href: `#${LIST}/tambah` }, "Tambah Baru");
    place.replaceChildren(h("p", {}, "Anda belum memiliki satuan kerja. Yang pertama menjadi satuan kerja utama."), add);
    return;
  }
  place.replaceChildren(
    facts({
      "K/L/P/D": satker.klpd_name,
      "Satuan Kerja": satker.satker_name,
      Kode: satker.satker_code,
      mbizmarket: h("span", {}, badge(satker.mapping), ` ${stateText(satker.mapping)}`),
      "Terakhir berubah": time(satker.updated_at),
    }),
    h("div.buttons", {}, look(satker)),
  );
}

const look = ({ id, satker_name }) =>
  button("Lihat", () => go(`${LIST}/${id}`), "secondary", { "aria-label": `Lihat ${satker_name}` });

/** The table of additional satkers. What is shown is kept in the address. */
function additional(given, signal) {
  const usual = { q: "", sort: "-updated_at", page: "1", size: "10" };
  const shown = Object.fromEntries(Object.entries(usual).map(([name, value]) => [name, given.get(name) ?? value]));
  const heading = h("h2", { id: "tambahan", tabindex: "-1" }, "Satuan Kerja Tambahan");
  const body = h("tbody", { role: "rowgroup" });
  const head = h("tr", { role: "row" });
  const count = h("p.count", { role: "status" });
  const pages = h("nav.pages", { "aria-label": "Halaman satuan kerja tambahan" });
  const trouble = h("div");
  const show = async (change) => {
    Object.assign(shown, { page: "1" }, change);
    rename(address(shown));
    await guarded(trouble, load);
  };

  async function load() {
    where = address(shown);
    const { body: list } = await call("GET", "/v1/satkers", { query: { ...shown, is_primary: false }, signal });
    if (!list.items.length && list.page > 1) return show({ page: String(Math.max(1, list.pages)) });
    drawHead(head, shown.sort, show);
    body.replaceChildren(...list.items.map(row));
    if (!list.items.length) body.append(empty(shown.q));
    count.textContent = counted(list);
    drawPages(pages, list, show);
  }

  const table = h(
    "table.cards",
    { role: "table", "aria-labelledby": "tambahan" },
    h("thead", { role: "rowgroup" }, head),
    body,
  );
  const add = button("Tambah Baru", () => go(`${LIST}/tambah`), "primary", { hidden: true });
  const top = h("div.panel-top", {}, heading, add);
  const below = h("div.below", {}, count, pages);
  return { node: h("section.panel", {}, top, tools(shown, show), trouble, table, below), load, add };
}

const address = (shown) => `${LIST}?${new URLSearchParams(shown)}`;

function tools(shown, show) {
  const size = h("select", { id: newId("size") }, SIZES.map((n) => h("option", { value: n }, String(n))));
  size.value = shown.size;
  size.addEventListener("change", () => show({ size: size.value }));
  const search = h("input", { id: newId("search"), type: "search", maxlength: 100, autocomplete: "off" });
  search.value = shown.q;
  let timer;
  search.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => show({ q: search.value.trim() }), 250);
  });
  return h(
    "div.tools",
    {},
    h("span", {}, h("label", { for: size.id }, "Tampilkan "), size, " entri"),
    h("span", {}, h("label", { for: search.id }, "Cari "), search),
  );
}

function drawHead(head, sort, show) {
  const focused = head.contains(document.activeElement) ? document.activeElement.dataset.sort : null;
  head.replaceChildren(
    ...COLUMNS.map(([name, label]) => {
      const direction = sort === name ? "ascending" : sort === `-${name}` ? "descending" : "none";
      const next = direction === "ascending" ? `-${name}` : name;
      const order = button(label, () => show({ sort: next }), "sort", { "data-sort": name });
      return h("th", { role: "columnheader", scope: "col", "aria-sort": direction }, order);
    }),
    h("th", { role: "columnheader", scope: "col" }, "Aksi"),
  );
  if (focused) head.querySelector(`[data-sort=${focused}]`).focus();
}

function row(satker) {
  const cell = (label, ...children) => h(`td${label === "Aksi" ? "" : ".long"}`, { role: "cell", "data-label": label }, ...children);
  const remove = () => go(`${LIST}/${satker.id}?hapus=1`);
  return h(
    "tr",
    { role: "row" },
    cell("K/L/P/D", satker.klpd_name),
    cell("Satuan Kerja", h("span.name", {}, satker.satker_name), badge(satker.mapping)),
    cell("Terakhir berubah", h("span.time", {}, time(satker.updated_at))),
    cell(
      "Aksi",
      h("span.actions", {}, look(satker), button("Hapus", remove, "danger", { "aria-label": `Hapus ${satker.satker_name}` })),
    ),
  );
}

function empty(q) {
  const text = q ? "Tidak ada yang cocok dengan pencarian ini." : "Belum ada satuan kerja tambahan.";
  return h("tr", { role: "row" }, h("td", { role: "cell", colspan: 4 }, text));
}

function counted({ items, page, size, total }) {
  if (!total) return "0 entri";
  const first = (page - 1) * size + 1;
  return `Menampilkan ${first} sampai ${first + items.length - 1} dari ${total} entri`;
}

/** The page buttons anew; whoever used one by keyboard is on it again, or on the page that came. */
function drawPages(place, { page, pages }, show) {
  const used = place.contains(document.activeElement) ? document.activeElement.ariaLabel : null;
  const near = [1, page - 1, page, page + 1, pages].filter((n) => n >= 1 && n <= pages);
  const to = (label, text, n, props = {}) =>
    button(text, () => show({ page: String(n) }), "page-number", { "aria-label": label, ...props });
  const numbers = [...new Set(near)].flatMap((n, at, all) => [
    at && n > all[at - 1] + 1 ? h("span", {}, "…") : null,
    to(`Halaman ${n}`, String(n), n, { "aria-current": n === page ? "page" : null }),
  ]);
  const step = (sign, word, n) => to(word, [h("span", { "aria-hidden": "true" }, sign), h("span.word", {}, word)], n, { disabled: n < 1 || n > pages });
  const buttons = pages > 1 ? [step("‹", "Sebelumnya", page - 1), ...numbers, step("›", "Berikutnya", page + 1)] : [];
  place.replaceChildren(...buttons.filter(Boolean));
  if (!used) return;
  const again = [...place.querySelectorAll("button:enabled")].find((one) => one.ariaLabel === used);
  (again ?? place.querySelector("[aria-current]"))?.focus();
}
