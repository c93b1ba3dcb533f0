import { call } from "./api.js";
import { h } from "./dom.js";
import { STATUS, STATUS_NOTE } from "./texts.js";

/** The state of a satker's mapping, told by word and not by colour alone. */
export function badge(mapping) {
  return h(`span.badge.${mapping.status}`, {}, STATUS[mapping.status] ?? "Keadaan belum dikenal");
}

/** The state in a sentence; the company where the PP may see it. */
export function stateText(mapping) {
  if (mapping.company) return `Terhubung dengan ${mapping.company.name}.`;
  return STATUS_NOTE[mapping.status] ?? "Portal ini belum mengenal keadaan ini.";
}

export const path = (id, rest = "") => `/v1/satkers/${encodeURIComponent(id)}${rest}`;

export const get = async (id, signal) => (await call("GET", path(id), { signal })).body;
