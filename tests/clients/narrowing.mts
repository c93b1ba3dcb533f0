// What the generated types let pass and what they refuse; tsc fails where a line marked as an error is none.
import createClient from "openapi-fetch";
import type { components, paths } from "./satu-pp.d.ts";

const api = createClient<paths>({ baseUrl: "" });
const params = { path: { satker_id: "x" } };
declare const step: components["schemas"]["EntryOut"];
declare const mapping: components["schemas"]["MappingOut"];

// @ts-expect-error: only one of the steps has an address
step.redirect_url;
if (step.next_step === "open_mbizmarket") step.redirect_url satisfies string;
if (step.next_step === "wait") step.retry_after satisfies number;
// @ts-expect-error: there is no such step
if (step.next_step === "open") step;

mapping.status satisfies "unmapped" | "checking" | "mapped" | "mapped_by_other";
// @ts-expect-error: there is no such status
if (mapping.status === "connected") mapping;
// @ts-expect-error: it may be null
mapping.company.name;

const { data, error } = await api.POST("/v1/satkers/{satker_id}/mapping/login", {
  params,
  body: { email: "a@b.cd", password: "x" },
});
// @ts-expect-error: it may have been refused
data.status;
if (error?.code === "company_choice_required") error.companies?.[0]?.company_id satisfies string | undefined;
// @ts-expect-error: logging in has no such refusal
if (error?.code === "email_taken") error;

// @ts-expect-error: the password is missing
await api.POST("/v1/satkers/{satker_id}/mapping/login", { params, body: { email: "a@b.cd" } });
// @ts-expect-error: there is no such status to filter by
await api.GET("/v1/satkers", { params: { query: { status: "connected" } } });
// @ts-expect-error: there is no such path
await api.GET("/v1/satker");
