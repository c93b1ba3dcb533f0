import { call } from "./api.js";
import { button, facts, h } from "./dom.js";
import { choice, form } from "./form.js";
import { path } from "./satker.js";
import { lastFailure, outcome, time } from "./texts.js";

/** For whom all this is. */
export const forWhom = ({ satker }) => h("p.for-whom", {}, "Untuk ", h("strong", {}, satker.satker_name), h("small", {}, satker.klpd_name));

/** mbizmarket knows the person's own e-mail: is this account, and one of its companies, the satker's? */
export function confirm(flow, { account, companies }) {
  const company = choice({
    name: "company_id",
    legend: companies.length > 1 ? "Perusahaan yang mana milik satuan kerja ini?" : "Perusahaan",
    options: companies.map(({ company_id, name, city }) => ({ id: company_id, name, note: city })),
  });
  const send = async (body) => {
    const { body: mapping } = await call("POST", path(flow.id, "/mapping/confirm"), { body });
    if (!flow.signal.aborted) flow.linked(mapping.company);
  };
  flow.view.show(
    "Kami menemukan akun mbizmarket Anda",
    forWhom(flow),
    facts({ "E-mail": account.email, Nama: account.name }),
    form({
      fields: [company],
      submit: "Ya, gunakan akun ini",
      send,
      after: [h("p.aside", {}, button("Ini bukan akun saya", () => flow.goTo("tanya"), "link"))],
    }),
  );
}

/** Sudah or Belum. */
export function question(flow, answer) {
  flow.view.show(
    "Apakah Anda sudah pernah melakukan pendaftaran di Mbizmarket?",
    flow.failure && failure(flow.failure),
    forWhom(flow),
    h(
      "div.answers",
      {},
      reply("Sudah", "Masuk dengan akun mbizmarket saya", () => flow.goTo("masuk")),
      reply("Belum", "Daftarkan satuan kerja ini di mbizmarket", () => flow.goTo("daftar")),
    ),
    answer.email_status === "unverified" && h("p.hint", {}, "Alamat e-mail Anda di portal ini belum terverifikasi, jadi tidak kami cari di mbizmarket."),
  );
}

const reply = (word, note, onclick) => button([h("strong", {}, word), h("small", {}, note)], onclick, "choice");

/** What became of the last registration. */
const failure = ({ code, at }) =>
  h("div.problem", {}, h("p", {}, h("strong", {}, `Pendaftaran ${time(at)} tidak berhasil: ${outcome(code).toLowerCase()}.`), ` ${lastFailure(code)}`));
