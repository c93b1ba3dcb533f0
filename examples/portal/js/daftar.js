import { call } from "./api.js";
import { forWhom } from "./akun.js";
import { h } from "./dom.js";
import { field, form, passwordField } from "./form.js";
import { path } from "./satker.js";
import { person } from "./session.js";

const drafts = new Map(); // what was typed, by satker, until it is done; never a password

export const draft = (id) => drafts.get(id) ?? {};

export const forget = (id) => drafts.delete(id);

/** Keeps what is typed into these fields, through errors, the back button and signing in again. */
export function keep(id, form, names) {
  form.addEventListener("input", () => {
    remember(id, Object.fromEntries(Object.entries(names).map(([name, as]) => [as, form.elements[name].value])));
  });
}

const remember = (id, values) => drafts.set(id, { ...draft(id), ...values });

const EMAIL_HINT = {
  free: "Ini alamat e-mail Anda di portal. Satu alamat e-mail hanya untuk satu akun mbizmarket.",
  already_used: "Alamat e-mail Anda sudah dipakai di mbizmarket: gunakan alamat e-mail lain untuk satker ini.",
  unverified: "Alamat e-mail Anda belum terverifikasi di portal: pastikan benar.",
};

/** Belum: the registration of a new account with a company for this satker. */
export function daftar(flow, { suggested_email: suggested, email_status: status }) {
  const fields = registrationFields(flow, suggested, status);
  const send = async (values) => {
    const { status, headers, body } = await call("POST", path(flow.id, "/mapping/register"), { body: registration(values) });
    if (flow.signal.aborted) return;
    if (status === 202) flow.check(Number(headers.get("Retry-After")) || 5);
    else flow.linked(body.company);
  };
  const made = form({
    fields,
    submit: "Daftar",
    send,
    places: { email_taken: "email" },
    actions: { email_taken: () => toLogin(flow) },
    after: [h("p.aside", {}, "Sudah memiliki akun? ", h("a", { href: flow.href("masuk") }, "Masuk"))],
  });
  const names = fields.map((one) => one.name).filter((name) => name !== "password");
  keep(flow.id, made, Object.fromEntries(names.map((name) => [name, name])));
  flow.view.show("Daftar di mbizmarket", forWhom(flow), h("p.hint", {}, "Semua isian wajib diisi."), made);
}

/** Logging in with the e-mail that is taken, whatever was tried there before. */
function toLogin(flow) {
  remember(flow.id, { login: undefined });
  return h("a", { href: flow.href("masuk") }, "Masuk dengan akun itu");
}

function registrationFields(flow, suggested, status) {
  const known = draft(flow.id);
  const { name, phone } = person() ?? {};
  const text = (name, label, value, more) =>
    field({ name, label, value: known[name] ?? value ?? "", maxlength: 200, ...more });
  const email = text("email", "Email", suggested, { type: "email", autocomplete: "email", maxlength: 254, hint: EMAIL_HINT[status] });
  if (suggested) email.node.append(another(email.input));
  return [
    email,
    passwordField({ hint: "Untuk akun mbizmarket yang baru; portal ini tidak menyimpannya.", autocomplete: "new-password" }),
    text("company.name", "Nama Perusahaan/Institusi/Toko", flow.satker.satker_name, { autocomplete: "organization" }),
    text("contact_name", "Nama kontak", name, { autocomplete: "name" }),
    text("phone", "Nomor telepon", phone, { type: "tel", autocomplete: "tel", maxlength: 40, check: phoneNumber }),
    text("company.address.city", "Kota atau Kecamatan", "", { autocomplete: "address-level2" }),
    text("company.address.postal_code", "Kode Pos", "", { inputmode: "numeric", autocomplete: "postal-code", maxlength: 5, check: postalCode }),
    text("company.address.street", "Alamat Lengkap", "", { tag: "textarea", rows: 3, autocomplete: "street-address" }),
  ];
}

/** The own address is a suggestion; an account serves one satker only, so another may be better. */
function another(input) {
  const clear = () => {
    input.value = "";
    input.focus();
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  return h("button.link", { type: "button", onclick: clear }, "Gunakan alamat e-mail lain untuk satker ini");
}

const phoneNumber = (value) => (/^(?=.*[0-9])[0-9 +()-]{8,20}$/.test(value) ? null : "Isi 8 sampai 20 angka, spasi, atau tanda + ( ) -.");
const postalCode = (value) => (/^[0-9]{5}$/.test(value) ? null : "Kode pos terdiri atas 5 angka.");

/** An address is one line in the contract; people type several. */
function registration(values) {
  const { email, password, contact_name, phone } = values;
  const address = {
    street: values["company.address.street"].trim().replace(/\s*[\r\n]+\s*/g, ", "),
    city: values["company.address.city"],
    postal_code: values["company.address.postal_code"].trim(),
  };
  return { email, password, contact_name, phone, company: { name: values["company.name"], address } };
}
