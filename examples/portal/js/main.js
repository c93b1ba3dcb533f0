import * as belanja from "./belanja.js";
import { closeDialog } from "./dialog.js";
import { focusOn, h, notice } from "./dom.js";
import { problemBox } from "./form.js";
import * as masuk from "./masuk.js";
import { Problem } from "./api.js";
import * as profil from "./profil.js";
import * as riwayat from "./riwayat.js";
import { go, replace } from "./router.js";
import * as session from "./session.js";

/**
 * The address says it all: a page, and what is open above it. So the back button, a reload and a second tab work, and what
 * is shown is asked from the service anew. A page has `title`, `section`, `draw(main, params)` and perhaps `overlay(params)`.
 */
const PAGES = [
  [/^\/masuk$/, masuk],
  [/^\/belanja(?:\/(?<category>[\w-]+))?(?:\/(?:(?<pick>pilih)|satker\/(?<id>[\w-]+)(?:\/(?<step>\w+))?))?$/, belanja],
  [/^\/profil\/satuan-kerja(?:\/(?:(?<add>tambah)|(?<id>[\w-]+)))?$/, profil],
  [/^\/profil\/riwayat$/, riwayat],
];

const main = document.getElementById("isi");
let drawn = null; // the page that stands there, told apart by what `draw` depends on
let leavingPage = new AbortController();
let leavingOverlay = new AbortController();

function route() {
  const [path, search = ""] = location.hash.slice(1).split("?");
  const found = PAGES.map(([pattern, page]) => [pattern.exec(path), page]).find(([match]) => match);
  if (!found) return replace("/belanja");
  const [{ groups = {} }, page] = found;
  if (!session.token() && page !== masuk) {
    masuk.after(`${path}${search && `?${search}`}`);
    return replace("/masuk");
  }
  const params = { ...groups, query: new URLSearchParams(search) };
  leavingOverlay.abort();
  leavingOverlay = new AbortController();
  closeDialog();
  if (drawn !== page.key(params)) draw(page, params);
  page.overlay?.({ ...params, signal: leavingOverlay.signal });
}

async function draw(page, params) {
  leavingPage.abort();
  leavingPage = new AbortController();
  drawn = page.key(params);
  notice(null);
  showFrame(page);
  const heading = h("h1", {}, page.title);
  const content = h("div.page");
  main.replaceChildren(heading, content);
  document.title = `${page.title} – Bela Pengadaan (portal contoh)`;
  focusOn(heading);
  try {
    await page.draw(content, { ...params, signal: leavingPage.signal });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    content.replaceChildren(problemBox(problem, redraw));
  }
}

function redraw() {
  drawn = null;
  route();
}

function showFrame(page) {
  const person = session.person();
  document.getElementById("nav").hidden = document.getElementById("who").hidden = !session.token();
  document.getElementById("who-name").textContent = person?.name ?? person?.sub ?? "";
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.dataset.section === page.section) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

document.getElementById("sign-out").addEventListener("click", () => {
  session.signOut();
  masuk.after(null);
  go("/masuk");
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the address of a page here
  main.focus();
});
window.addEventListener("session-over", () => {
  masuk.sayOver();
  route();
});
window.addEventListener("hashchange", route);
// Back from mbizmarket the browser may show the page as it was left, and things have changed since.
window.addEventListener("pageshow", (event) => event.persisted && redraw());
route();
