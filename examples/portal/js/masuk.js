import { Problem } from "./api.js";
import { button, h } from "./dom.js";
import { field, form } from "./form.js";
import { replace } from "./router.js";
import * as session from "./session.js";

export const title = "Masuk";
export const section = null;
export const key = () => "masuk";

let wanted = null;
let over = false;

/** Where to go after signing in. */
export function after(path) {
  wanted = path;
}

/** The next time, say why one has to sign in again. */
export function sayOver() {
  over = true;
}

/** The demo's people. A portal has its own sign-in here. */
export async function draw(content) {
  if (over) content.append(h("p.problem", { role: "alert" }, "Sesi Anda berakhir. Silakan masuk kembali untuk melanjutkan."));
  content.append(
    h("p.lead", {}, "Portal sesungguhnya memiliki halaman masuk sendiri. Di sini, pilih salah satu pejabat contoh."),
  );
  over = false;
  const { people } = await session.offered().catch(() => {
    throw new Problem("no_answer");
  });
  content.append(h("ul.people", {}, people.map((person) => h("li", {}, card(person)))), other());
}

function card({ name, email, role, token }) {
  const texts = [h("strong", {}, name), h("span", {}, email), h("small", {}, role)];
  return button(texts, () => enter(token), "card");
}

function other() {
  const token = field({ name: "token", label: "Token (JWT)", tag: "textarea", rows: 4, spellcheck: "false" });
  const send = async ({ token }) => enter(token.trim());
  return h("details", {}, h("summary", {}, "Pakai token lain"), form({ fields: [token], submit: "Masuk", send }));
}

function enter(token) {
  session.signIn(token);
  replace(wanted ?? "/belanja");
}
