import { h } from "./dom.js";
import { category, CATEGORIES } from "./kategori.js";
import { enter } from "./mbizmarket.js";
import { pick } from "./pilih.js";
import { go, replace } from "./router.js";

export const title = "Belanja";
export const section = "belanja";
export const key = (params) => `belanja ${params.category ?? ""}`;

/** The category menu, and where the chosen one can be bought. */
export async function draw(content, params) {
  const chosen = category(params.category);
  const menu = h("nav.menu", { "aria-label": "Kategori" }, h("h2", {}, "Kategori"), h("ul", {}, CATEGORIES.map((one) => item(one, chosen))));
  content.append(h("div.shop", {}, menu, chosen ? offer(chosen) : welcome()));
  if (chosen) content.querySelector("#offer").focus();
}

/** The pop-up: which satker, and then all it takes to enter mbizmarket for it. */
export function overlay({ category: slug, pick: picking, id, step, signal }) {
  const onclose = () => {
    replace(`/belanja/${slug}`);
    document.getElementById("mbizmarket")?.focus();
  };
  if (picking) pick({ slug, signal, onclose });
  if (id) enter({ slug, id, step, signal, onclose });
}

function item(one, chosen) {
  const current = one === chosen ? "page" : null;
  return h("li", {}, h("a", { href: `#/belanja/${one.slug}`, "aria-current": current }, one.icon(), h("span", {}, one.name)));
}

const welcome = () =>
  h("section.panel.offer", {}, h("h2", {}, "Mulai belanja"), h("p", {}, "Pilih kategori barang atau jasa yang Anda perlukan."));

function offer({ slug, name, about }) {
  const logo = h("img", { src: "gambar/mbizmarket.svg", alt: "mbizmarket", width: 190, height: 45 });
  const open = () => go(`/belanja/${slug}/pilih`);
  return h(
    "section.panel.offer",
    { "aria-labelledby": "offer" },
    h("h2", { id: "offer", tabindex: "-1" }, name),
    h("p", {}, about),
    h("h3", {}, "Tersedia di"),
    h("button.market", { type: "button", id: "mbizmarket", onclick: open }, logo, h("span", {}, "Belanja di mbizmarket")),
  );
}
