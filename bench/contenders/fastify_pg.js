// Fastify and pg, with Fastify's own JWT plugin and its cache of verified tokens, and a serializer made from a schema.
import jwt from "@fastify/jwt";
import Fastify from "fastify";
import pg from "pg";

const { PGHOST, PGPORT, PGDATABASE, JWT_KEY, PORT } = process.env;
const pool = new pg.Pool({ host: PGHOST, port: Number(PGPORT), user: "postgres", database: PGDATABASE, max: 16 });
const app = Fastify({ logger: false });

await app.register(jwt, {
  secret: { public: JWT_KEY },
  verify: { algorithms: ["RS256"], allowedAud: "satu-pp", allowedIss: "bela", cache: 10000, cacheTTL: 60000 },
});

const lookup = {
  name: "lookup",
  text: `
    SELECT s.id, s.pp_id, a.company_id, a.company_name, x.via, x.granted_at
    FROM pp_satker s
    LEFT JOIN attempt a ON a.catalog_id = s.catalog_id AND a.state IN ('calling', 'uncertain', 'mapped')
    LEFT JOIN access x ON x.satker_id = s.id AND x.attempt_id = a.id
    WHERE s.id = $1`,
};
const text = { type: ["string", "null"] };
const mapping = {
  type: "object",
  properties: {
    satker_id: { type: "string" },
    status: { type: "string" },
    company: {
      type: ["object", "null"],
      properties: { company_id: { type: "string" }, name: { type: "string" } },
    },
    via: text,
    mapped_at: text,
    last_failure: { type: "null" },
  },
};

app.get(
  "/v1/satkers/:satker_id/mapping",
  { onRequest: (request) => request.jwtVerify(), schema: { response: { 200: mapping } } },
  async (request, reply) => {
    const { rows } = await pool.query({ ...lookup, values: [request.params.satker_id] });
    const row = rows[0];
    if (!row || row.pp_id !== request.user.sub) return reply.code(404).send({ code: "satker_not_found" });
    const mapped = row.via !== null;
    return {
      satker_id: row.id,
      status: mapped ? "mapped" : "unmapped",
      company: mapped ? { company_id: row.company_id, name: row.company_name } : null,
      via: row.via,
      mapped_at: row.granted_at && row.granted_at.toISOString(),
      last_failure: null,
    };
  },
);

await app.listen({ host: "127.0.0.1", port: Number(PORT) });
