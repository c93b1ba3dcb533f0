import { call } from "./api.js";
import { confirm, question } from "./akun.js";
import { daftar, forget } from "./daftar.js";
import { openDialog } from "./dialog.js";
import { button, h } from "./dom.js";
import { problemBox } from "./form.js";
import { category } from "./kategori.js";
import { login } from "./login.js";
import { check } from "./periksa.js";
import { go, rename } from "./router.js";
import { get, path } from "./satker.js";
import { forgotPassword } from "./session.js";

const answers = new Map(); // what entry said last, by satker
let pickedId = null;

// When a company is closed another may take its place; when the account offered is not theirs, another is needed.
const another = async () => ({
  next_step: "ask_registered",
  suggested_email: null,
  email_status: "already_used",
  forgot_password_url: await forgotPassword(),
});

/** The person picked this satker just now: mbizmarket may open by itself. Going back to its address must not do that. */
export function picked(id) {
  pickedId = id;
}

/**
 * All it takes to enter mbizmarket for a satker. The service says what comes next (`entry`); `step` is where the person is
 * in what they were asked: `tanya`, `masuk` or `daftar`.
 */
export async function enter({ slug, id, step, signal, onclose }) {
  const at = (word) => `/belanja/${slug}/satker/${id}${word ? `/${word}` : ""}`;
  const flow = {
    id,
    step,
    signal,
    view: openDialog(onclose),
    jump: pickedId === id,
    category: category(slug)?.name,
    href: (word) => `#${at(word)}`,
    goTo: (word) => go(at(word)),
    restart: () => enter({ slug, id, signal, onclose }),
    linked: (company) => linked(flow, company),
    check: (seconds) => {
      rename(at()); // the form is behind: a reload, or Back, asks the service where things stand
      return check(flow, seconds, () => ask(flow), show);
    },
    leave: (url) => leave(slug, url),
    pickAnother: () => go(`/belanja/${slug}/pilih`),
  };
  pickedId = null;
  await start(flow);
}

async function start(flow) {
  flow.view.busy("Belanja di mbizmarket", "Menghubungi mbizmarket…");
  try {
    const [satker, mapping] = await Promise.all([
      get(flow.id, flow.signal),
      call("GET", path(flow.id, "/mapping"), { signal: flow.signal }),
    ]);
    Object.assign(flow, { satker, failure: mapping.body.last_failure });
    const known = flow.step && answers.get(flow.id);
    await show(flow, known ?? (await ask(flow)));
  } catch (problem) {
    await failed(flow, problem);
  }
}

async function ask({ id, category, signal }) {
  const { body } = await call("POST", path(id, "/entry"), { body: { category }, signal });
  answers.set(id, body);
  return body;
}

function show(flow, answer) {
  switch (answer.next_step) {
    case "open_mbizmarket":
      return flow.jump ? flow.leave(answer.redirect_url) : ready(flow, answer.company);
    case "wait":
      return flow.check(answer.retry_after);
    case "log_in":
      return login(flow, answer);
    case "confirm_account":
      return flow.step ? notMine(flow) : confirm(flow, answer);
    case "ask_registered":
      return forms(flow, answer);
    default:
      return unknown(flow);
  }
}

/** The account that was offered is not theirs: where the satker has a company, only an account of it helps. */
async function notMine(flow) {
  const answer = await another();
  if (flow.satker.mapping.status === "mapped_by_other") return login(flow, { ...answer, next_step: "log_in", reason: "mapped_by_other" });
  return forms(flow, answer);
}

function forms(flow, answer) {
  if (flow.step === "masuk") return login(flow, answer);
  if (flow.step === "daftar") return daftar(flow, answer);
  return question(flow, answer);
}

function ready(flow, company) {
  forget(flow.id);
  flow.view.show(
    "Siap berbelanja",
    h("p", {}, h("strong", {}, flow.satker.satker_name), " terhubung dengan ", h("strong", {}, company.name), " di mbizmarket."),
    h("div.buttons", {}, button("Buka mbizmarket", () => open(flow))),
  );
}

function linked(flow, company) {
  forget(flow.id);
  answers.delete(flow.id);
  rename(flow.href("").slice(1));
  flow.view.show(
    "Berhasil",
    h("p.success", {}, h("strong", {}, flow.satker.satker_name), " kini terhubung dengan ", h("strong", {}, company.name), " di mbizmarket."),
    h("div.buttons", {}, button("Lanjut ke mbizmarket", () => open(flow))),
  );
}

function open(flow) {
  flow.jump = true;
  flow.step = undefined;
  return start(flow);
}

/** The address shown on the way back is the shop's, so that Back does not lead to mbizmarket again. */
function leave(slug, url) {
  const target = new URL(url);
  if (!["https:", "http:"].includes(target.protocol)) return;
  rename(`/belanja/${slug}`);
  location.assign(target);
}

async function failed(flow, problem) {
  const closed = ["company_inactive", "company_gone"].includes(problem.code);
  if (closed && flow.step) return forms(flow, await another());
  const gone = problem.code === "satker_not_found";
  const other = closed && button("Hubungkan perusahaan lain", () => flow.goTo("tanya"), "secondary");
  const repick = gone && button("Pilih satuan kerja lain", flow.pickAnother);
  flow.view.show("Belanja di mbizmarket", problemBox(problem, !gone && (() => start(flow)), other, repick));
}

/** Steps may be added to the contract; an old portal then says so. */
function unknown(flow) {
  const text = "Langkah berikutnya belum dikenal portal ini. Muat ulang halaman; bila tetap begini, hubungi pengelola portal.";
  flow.view.show("Belanja di mbizmarket", h("div.problem", { role: "alert" }, h("p", {}, text)));
}
