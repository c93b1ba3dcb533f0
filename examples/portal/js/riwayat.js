import { call } from "./api.js";
import { button, h } from "./dom.js";
import { problemTexts } from "./form.js";
import { tabs } from "./tabs.js";
import { ACTOR, EVENT, outcome, time, VIA } from "./texts.js";

export const title = "Riwayat";
export const section = "profil";
export const key = ({ query }) => `riwayat ${query.get("satker") ?? ""}`;

/** What happened, newest first; of one satker when the address names one. */
export async function draw(content, { query, signal }) {
  const satkerId = query.get("satker");
  const body = h("tbody", { role: "rowgroup" });
  const head = ["Waktu", "Peristiwa", "Satuan Kerja", "Perusahaan", "Oleh", "Hasil"];
  const table = h(
    "table.cards",
    { role: "table", "aria-label": "Riwayat" },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, head.map((one) => h("th", { role: "columnheader", scope: "col" }, one)))),
    body,
  );
  const more = h("div.buttons");
  content.append(tabs("riwayat"), h("section.panel", { "aria-label": "Riwayat" }, satkerId && filtered(), table, more));
  await load(null);

  async function load(cursor) {
    const { body: list } = await call("GET", "/v1/history", { query: { satker_id: satkerId, cursor }, signal });
    const rows = list.items.map((item) => row(item, head));
    body.append(...rows);
    if (!body.children.length) body.append(h("tr", { role: "row" }, h("td", { role: "cell", colspan: head.length }, "Belum ada riwayat.")));
    more.replaceChildren();
    if (list.next_cursor) more.append(button("Muat lebih banyak", () => again(list.next_cursor), "secondary"));
    if (cursor) rows[0]?.focus();
  }

  async function again(cursor) {
    try {
      await load(cursor);
    } catch (problem) {
      const retry = button("Coba lagi", () => again(cursor));
      more.replaceChildren(h("div.form-error", { role: "alert" }, problemTexts(problem)), retry);
    }
  }
}

const filtered = () =>
  h("p.filter", {}, "Hanya riwayat satu satuan kerja. ", h("a", { href: "#/profil/riwayat" }, "Tampilkan semua"));

function row(item, head) {
  const way = item.via && item.event !== "registration" ? ` (${VIA[item.via] ?? item.via})` : "";
  const texts = [
    h("span.time", {}, time(item.at)),
    `${EVENT[item.event] ?? item.event}${way}`,
    item.satker_name ?? "–",
    item.company_name ?? "–",
    ACTOR[item.actor] ?? item.actor,
    h(`span.badge.${item.outcome === "ok" ? "mapped" : item.outcome === "uncertain" ? "checking" : "failed"}`, {}, outcome(item.outcome)),
  ];
  const long = ["Satuan Kerja", "Perusahaan"];
  const kind = (text, at) => (text === "–" ? ".none" : long.includes(head[at]) ? ".long" : "");
  const cell = (text, at) => h(`td${kind(text, at)}`, { role: "cell", "data-label": head[at] }, text);
  return h("tr", { role: "row", tabindex: "-1" }, texts.map(cell));
}
