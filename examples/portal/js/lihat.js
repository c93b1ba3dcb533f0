import { call } from "./api.js";
import { openDialog } from "./dialog.js";
import { button, facts, h } from "./dom.js";
import { problemBox, problemTexts } from "./form.js";
import { badge, path } from "./satker.js";
import { lastFailure, outcome, STATUS_NOTE, time, VIA } from "./texts.js";

/**
 * One satker: what is known of it, and what can be done with it; with `remove` the question whether to remove it. `gone` is
 * called when it is no longer on the list.
 */
export async function show(asked) {
  const { id, remove, signal, onclose, changed, gone } = asked;
  const view = openDialog(onclose);
  view.busy("Satuan Kerja", "Memuat…");
  try {
    const [satker, mapping] = await Promise.all([
      call("GET", path(id), { signal }),
      call("GET", path(id, "/mapping"), { signal }),
    ]);
    const again = () => show({ ...asked, remove: true });
    const known = { view, signal, changed, again, satker: satker.body, mapping: mapping.body, etag: satker.headers.get("ETag") };
    if (remove) askRemove(known);
    else details(known);
  } catch (problem) {
    view.show("Satuan Kerja", problemBox(problem, null, button("Tutup", view.close, "secondary")));
    if (problem.code === "satker_not_found") gone();
  }
}

function details(known) {
  const { view, satker, mapping } = known;
  view.show(
    "Satuan Kerja",
    facts({
      "Satuan Kerja": h("strong", {}, satker.satker_name),
      "K/L/P/D": satker.klpd_name,
      Kode: satker.satker_code,
      Kedudukan: satker.is_primary ? "Satuan kerja utama" : "Satuan kerja tambahan",
      Ditambahkan: time(satker.created_at),
      "Terakhir berubah": time(satker.updated_at),
      mbizmarket: h("span", {}, badge(mapping), ` ${STATUS_NOTE[mapping.status] ?? ""}`),
      Perusahaan: mapping.company?.name,
      "Dihubungkan lewat": mapping.via && (VIA[mapping.via] ?? mapping.via),
      "Dihubungkan pada": mapping.mapped_at && time(mapping.mapped_at),
      "Pendaftaran terakhir": mapping.last_failure && failure(mapping.last_failure),
    }),
    h("p", {}, h("a", { href: `#/profil/riwayat?satker=${satker.id}` }, "Lihat riwayat satuan kerja ini")),
    buttons(known),
  );
}

const failure = ({ code, at }) => `${time(at)}: ${outcome(code)}. ${lastFailure(code)}`;

function buttons(known) {
  const { satker, mapping } = known;
  return h(
    "div.buttons",
    {},
    !satker.is_primary && button("Jadikan utama", () => makePrimary(known)),
    mapping.status === "mapped" && button("Putuskan hubungan", () => askUnlink(known), "secondary"),
    button("Hapus", () => askRemove(known), "danger"),
  );
}

/** If-Match: whoever looks at old data is told so. */
function makePrimary(known) {
  const { satker, etag } = known;
  const work = () => call("PATCH", path(satker.id), { body: { is_primary: true }, headers: { "If-Match": etag } });
  return act(known, work, "Berhasil. Satuan kerja utama diganti", satker.satker_name);
}

function askUnlink(known) {
  const { satker, mapping } = known;
  ask(known, {
    title: "Putuskan hubungan?",
    text: `${satker.satker_name} tidak lagi terhubung dengan ${mapping.company.name} bagi Anda. Akun dan perusahaan di mbizmarket tetap ada.`,
    yes: "Ya, putuskan",
    work: () => call("DELETE", path(satker.id, "/mapping")),
    done: "Berhasil. Hubungan diputuskan",
  });
}

/** A mapping that ends along with the satker is named, and ended only when it was: one that came meanwhile is asked about. */
function askRemove(known) {
  const { satker, mapping } = known;
  const linked = mapping.status === "mapped";
  ask(known, {
    title: "Hapus satuan kerja?",
    text: linked
      ? `${satker.satker_name} terhubung dengan ${mapping.company.name} di mbizmarket. Menghapusnya juga mengakhiri hubungan itu bagi Anda.`
      : `${satker.satker_name} dihapus dari daftar Anda.`,
    yes: linked ? "Hapus dan akhiri hubungan" : "Ya, hapus",
    work: () => call("DELETE", path(satker.id), { query: { unlink: linked ? "true" : "" } }),
    done: "Berhasil. Satuan kerja dihapus",
  });
}

function ask(known, { title, text, yes, work, done }) {
  const { view, satker } = known;
  const error = h("div.form-error", { role: "alert" });
  view.show(
    title,
    h("p", {}, text),
    error,
    h(
      "div.buttons",
      {},
      button(yes, () => act(known, work, done, satker.satker_name, error), "danger"),
      button("Batal", view.close, "secondary"),
    ),
  );
}

/** Does it once, however often it is clicked; what went wrong is said in place. */
async function act(known, work, done, more, error = null) {
  if (known.acting) return;
  known.acting = true;
  try {
    await work();
    if (!known.signal.aborted) await known.changed(done, more);
  } catch (problem) {
    if (problem.code === "satker_has_mapping") return known.again();
    if (error) error.replaceChildren(...problemTexts(problem));
    else known.view.show("Satuan Kerja", problemBox(problem, null, button("Tutup", known.view.close, "secondary")));
  } finally {
    known.acting = false;
  }
}
