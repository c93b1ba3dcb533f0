import { call } from "./api.js";
import { combobox } from "./combobox.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { form } from "./form.js";

/** Tambah Baru: a K/L/P/D, then one of its satkers, each found by typing. */
export function tambah({ signal, onclose, changed }) {
  const view = openDialog(onclose);
  let satker = null;
  const klpd = combobox({
    name: "klpd",
    label: "K/L/P/D",
    hint: "Ketik sebagian nama atau kodenya.",
    search: async (q) => found(await call("GET", "/v1/klpd", { query: { q }, signal }), (item) => item.code, kind),
    onpick: () => code.clear(),
  });
  const code = combobox({
    name: "catalog_id",
    label: "Satuan Kerja",
    hint: "Pilih K/L/P/D dahulu, lalu ketik sebagian nama atau kode satuan kerja.",
    search: async (q) => {
      if (!klpd.value()) return { options: [], none: "Pilih K/L/P/D dahulu." };
      const path = `/v1/klpd/${encodeURIComponent(klpd.value())}/satkers`;
      return found(await call("GET", path, { query: { q }, signal }), (item) => item.catalog_id, codes);
    },
    onpick: (option) => (satker = option),
  });
  const send = async ({ catalog_id }) => {
    const { name } = satker;
    await call("POST", "/v1/satkers", { body: { catalog_id } });
    if (!signal.aborted) await changed("Berhasil. Simpan data satker Anda", name);
  };
  const places = {
    satker_already_added: "catalog_id",
    catalog_satker_not_found: "catalog_id",
    satker_limit_reached: "catalog_id",
  };
  view.show("Tambah Satuan Kerja", h("div.roomy", {}, form({ fields: [klpd, code], submit: "Simpan", send, places })));
  klpd.input.focus();
}

const found = ({ body }, id, note) => ({
  options: body.items.map((item) => ({ id: id(item), name: item.name, note: note(item) })),
  more: body.next_cursor !== null,
});

const kind = (item) => [item.code, item.kind].filter(Boolean).join(" · ");
const codes = (item) => (item.code ? `Kode ${item.code}` : `Nomor ${item.kd_satker}`);
