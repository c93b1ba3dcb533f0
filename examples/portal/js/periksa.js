import { call } from "./api.js";
import { forWhom } from "./akun.js";
import { announce, button, h } from "./dom.js";
import { path } from "./satker.js";
import { advice, title } from "./texts.js";

/**
 * "Sedang diperiksa": a registration whose outcome is being found out. It asks again after the seconds that the service
 * names, until there is an answer; the person may close it and come back.
 */
export async function check(flow, seconds, ask, show) {
  const line = h("p.hint", { role: "status" }, "Halaman ini memeriksa sendiri; Anda boleh menutupnya dan kembali nanti.");
  let wake;
  flow.view.show(
    "Sedang diperiksa",
    forWhom(flow),
    h("p.busy", {}, h("span.spinner", { "aria-hidden": "true" }), "Pendaftaran di mbizmarket sedang diperiksa. Tidak perlu mendaftar lagi."),
    line,
    h("div.buttons", {}, button("Periksa sekarang", () => wake?.(), "secondary")),
  );
  for (let wait = seconds; ; ) {
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, wait * 1000);
    });
    try {
      const answer = await ask();
      if (answer.next_step !== "wait") return await conclude(flow, answer, show);
      wait = answer.retry_after;
      announce("Masih diperiksa.");
    } catch (problem) {
      line.textContent = `${title(problem)} ${advice(problem)}`;
      wait = problem.retryAfter ?? 10;
    }
  }
}

/** Done, or come to nothing: then the person is told why, and what was typed is still there. */
async function conclude(flow, answer, show) {
  if (answer.next_step === "open_mbizmarket") return flow.linked(answer.company);
  const { body } = await call("GET", path(flow.id, "/mapping"), { signal: flow.signal });
  flow.failure = body.last_failure;
  flow.step = undefined;
  show(flow, answer);
}
