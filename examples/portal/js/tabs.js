import { h } from "./dom.js";

const TABS = { "satuan-kerja": "Satuan Kerja", riwayat: "Riwayat" };

/** The pages of the profile, as links to each other. */
export function tabs(current) {
  const link = ([path, label]) =>
    h("a", { href: `#/profil/${path}`, "aria-current": path === current ? "page" : null }, label);
  return h("nav.tabs", { "aria-label": "Profil" }, Object.entries(TABS).map(link));
}
