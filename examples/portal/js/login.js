import { call } from "./api.js";
import { forWhom } from "./akun.js";
import { draft, keep } from "./daftar.js";
import { h } from "./dom.js";
import { choice, field, form, passwordField } from "./form.js";
import { path } from "./satker.js";

const REASON = {
  mapped_by_other:
    "Satuan kerja ini sudah memiliki perusahaan di mbizmarket, dihubungkan oleh pejabat lain. Masuk dengan akun perusahaan itu untuk ikut memakainya.",
  access_lost: "Akun mbizmarket yang Anda pakai tidak lagi berada dalam perusahaan ini. Masuk dengan akun yang masih berada di dalamnya.",
  account_unknown: "Hubungan ini berasal dari data lama. Masuk sekali dengan akun mbizmarket Anda, agar kami tahu akun yang Anda pakai.",
};

/** Sudah: logging in at mbizmarket. Where the satker has a company already there is nothing to register. */
export function login(flow, { next_step, reason, forgot_password_url: forgot }) {
  const email = field({
    name: "email",
    label: "E-mail",
    type: "email",
    autocomplete: "username",
    maxlength: 254,
    value: draft(flow.id).login ?? draft(flow.id).email ?? "",
  });
  const made = form({
    fields: [email, passwordField({ autocomplete: "current-password" })],
    submit: "Masuk",
    send: (values) => send(flow, values),
    places: { invalid_credentials: "password" },
    onproblem,
    after: [
      forgot && h("p.aside", {}, h("a", { href: forgot, target: "_blank", rel: "noreferrer" }, "Lupa kata sandi?")),
      next_step !== "log_in" && h("p.aside", {}, "Belum memiliki akun? ", h("a", { href: flow.href("daftar") }, "Daftar sekarang")),
    ].filter(Boolean),
  });
  keep(flow.id, made, { email: "login" });
  flow.view.show("Masuk ke mbizmarket", forWhom(flow), REASON[reason] && h("p", {}, REASON[reason]), made);

  /** Several companies are no error but a question, and its answer needs the password once more. */
  function onproblem(problem) {
    if (problem.code !== "company_choice_required") return false;
    choose(flow, Object.fromEntries(new FormData(made)), problem.body.companies);
    return true;
  }
}

async function send(flow, body) {
  const { body: mapping } = await call("POST", path(flow.id, "/mapping/login"), { body });
  if (!flow.signal.aborted) flow.linked(mapping.company);
}

function choose(flow, { email, password }, companies) {
  const company = choice({
    name: "company_id",
    legend: "Perusahaan yang mana milik satuan kerja ini?",
    options: companies.map(({ company_id, name, city }) => ({ id: company_id, name, note: city })),
  });
  flow.view.show(
    "Pilih perusahaan",
    forWhom(flow),
    h("p", {}, "Akun ini memiliki beberapa perusahaan."),
    form({
      fields: [company],
      submit: "Pilih",
      send: ({ company_id }) => send(flow, { email, password, company_id }),
      after: [h("p.aside", {}, h("button.link", { type: "button", onclick: flow.restart }, "Mulai lagi"))],
    }),
  );
}
