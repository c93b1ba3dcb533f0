import { all } from "./api.js";
import { openDialog } from "./dialog.js";
import { announce, button, h, newId } from "./dom.js";
import { problemBox } from "./form.js";
import { picked } from "./mbizmarket.js";
import { go } from "./router.js";
import { badge, stateText } from "./satker.js";

const MANY = 6; // from so many on there is a search

/** "Pilih satuan kerja": each own satker with its state at mbizmarket. */
export async function pick({ slug, signal, onclose }) {
  const view = openDialog(onclose);
  view.busy("Pilih satuan kerja", "Memuat daftar…");
  try {
    const satkers = await all("/v1/satkers", { sort: "satker_name" }, signal);
    show(view, slug, satkers);
  } catch (problem) {
    const again = () => pick({ slug, signal, onclose });
    view.show("Pilih satuan kerja", problemBox(problem, again));
  }
}

function show(view, slug, satkers) {
  if (!satkers.length) {
    const add = h("a.button.primary", { href: "#/profil/satuan-kerja/tambah" }, "Tambah satuan kerja");
    return view.show("Pilih satuan kerja", h("p", {}, "Anda belum memiliki satuan kerja. Tambahkan dahulu."), h("div.buttons", {}, add));
  }
  satkers.sort((one, other) => Number(other.is_primary) - Number(one.is_primary));
  const lines = satkers.map((satker) => [satker, line(slug, satker)]);
  const list = h("ul.choices", {}, lines.map(([, node]) => node));
  const question = h("p", {}, "Anda berbelanja untuk satuan kerja yang mana?");
  const many = satkers.length >= MANY;
  view.show("Pilih satuan kerja", h(many ? "div.roomy" : "div", {}, question, many && search(lines), list));
}

function line(slug, satker) {
  const open = () => {
    picked(satker.id);
    go(`/belanja/${slug}/satker/${satker.id}`);
  };
  const texts = [
    h("span.name", {}, satker.satker_name, " ", satker.is_primary && h("span.badge.primary", {}, "Utama")),
    h("small", {}, satker.klpd_name),
    h("span.state", {}, badge(satker.mapping), h("small", {}, stateText(satker.mapping))),
  ];
  return h("li", {}, button(texts, open, "choice"));
}

function search(lines) {
  const input = h("input", { id: newId("search"), type: "search", autocomplete: "off" });
  const none = h("p.hint", { hidden: true }, "Tidak ada yang cocok dengan pencarian ini.");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    const fits = ({ satker_name, klpd_name, satker_code }) =>
      words.every((word) => `${satker_name} ${klpd_name} ${satker_code ?? ""}`.toLowerCase().includes(word));
    lines.forEach(([satker, node]) => (node.hidden = !fits(satker)));
    const found = lines.filter(([, node]) => !node.hidden).length;
    none.hidden = found > 0;
    announce(`${found} satuan kerja`);
  });
  return h("div.field", {}, h("label", { for: input.id }, "Cari satuan kerja"), input, none);
}
