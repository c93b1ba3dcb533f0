/** The words for what the service says in codes. What is not here is new since this portal was written. */

export const STATUS = {
  mapped: "Terhubung",
  unmapped: "Belum terhubung",
  checking: "Sedang diperiksa",
  mapped_by_other: "Perlu bukti akun",
};

export const STATUS_NOTE = {
  unmapped: "Belum memiliki perusahaan di mbizmarket.",
  checking: "Pendaftaran di mbizmarket sedang diperiksa.",
  mapped_by_other: "Sudah memiliki perusahaan di mbizmarket; Anda perlu membuktikan akunnya.",
};

export const VIA = {
  legacy: "Data lama portal",
  confirm: "Konfirmasi akun",
  login: "Masuk ke mbizmarket",
  register: "Pendaftaran baru",
};

export const EVENT = {
  satker_added: "Satuan kerja ditambahkan",
  satker_changed: "Satuan kerja diganti",
  satker_removed: "Satuan kerja dihapus",
  made_primary: "Dijadikan satuan kerja utama",
  mapped: "Menghubungkan dengan mbizmarket",
  access_gained: "Akses diperoleh",
  access_ended: "Akses diakhiri",
  unmapped: "Hubungan berakhir",
  registration: "Pendaftaran di mbizmarket",
  moved: "Dipindahkan",
  imported: "Dibawa dari data lama",
};

export const ACTOR = { self: "Anda", pp: "Pejabat lain", operator: "Operator", system: "Sistem" };

/** What came of it. `short` is for the history, `next` says what the person can do; the service's own title comes first. */
const OUTCOME = {
  ok: { short: "Berhasil" },
  uncertain: { short: "Sedang diperiksa" },
  never_arrived: { short: "Tidak sampai di mbizmarket", next: "Silakan kirim lagi." },
  orphan: { short: "Akun tanpa satuan kerja", next: "Akun itu ada di mbizmarket: masuklah dengannya." },
  no_answer: {
    title: "Layanan tidak dapat dihubungi.",
    next: "Periksa sambungan internet Anda, lalu coba lagi.",
  },
  unauthenticated: { next: "" },
  role_not_allowed: { next: "Hubungi pengelola portal bila peran Anda keliru." },
  rate_limited: { next: "" },
  too_many_attempts: { short: "Terlalu banyak percobaan", next: "Bila lupa kata sandi, pakailah “Lupa kata sandi?”." },
  invalid_credentials: { short: "E-mail atau kata sandi salah", next: "Ketik ulang kata sandinya." },
  email_taken: { short: "E-mail sudah terdaftar", next: "Masuk dengan akun itu, atau pakai e-mail lain." },
  mbiz_rejected: { short: "Ditolak mbizmarket", next: "Perbaiki isian yang ditandai, lalu kirim lagi." },
  validation_failed: { next: "Perbaiki isian yang ditandai, lalu kirim lagi." },
  link_in_progress: { short: "Masih diperiksa", next: "" },
  satker_already_mapped: {
    short: "Sudah terhubung dengan perusahaan lain",
    next: "Masuk dengan akun perusahaan satuan kerja ini, atau hubungi operator.",
  },
  company_already_mapped: {
    short: "Perusahaan dipakai satuan kerja lain",
    next: "Pakai perusahaan atau akun lain, atau daftarkan yang baru.",
  },
  company_inactive: {
    short: "Perusahaan tidak aktif",
    next: "Aktifkan perusahaan itu di mbizmarket, atau hubungkan perusahaan lain.",
  },
  company_gone: { short: "Perusahaan tidak ada lagi", next: "Hubungkan perusahaan lain." },
  company_not_found: { short: "Perusahaan tidak ditemukan", next: "Datanya mungkin berubah: mulai lagi dari awal." },
  no_active_company: {
    short: "Tidak ada perusahaan aktif",
    next: "Aktifkan perusahaannya di mbizmarket, atau daftarkan yang baru dengan e-mail lain.",
  },
  email_unverified: { short: "E-mail belum terverifikasi", next: "Verifikasi e-mail Anda di portal, atau masuk." },
  satker_not_found: { short: "Satuan kerja tidak ditemukan", next: "Mungkin baru saja dihapus." },
  catalog_satker_not_found: { next: "Pilih satuan kerja lain." },
  klpd_not_found: { next: "Pilih K/L/P/D lain." },
  satker_already_added: { next: "Pilih satuan kerja lain." },
  satker_limit_reached: { next: "Hapus dahulu yang tidak dipakai lagi." },
  primary_satker: { next: "Jadikan satuan kerja lain sebagai utama dahulu." },
  version_conflict: { next: "Buka lagi untuk melihat data terbaru." },
  mbiz_unavailable: { short: "mbizmarket tidak dapat dihubungi", next: "Belum ada yang berubah." },
  mbiz_timeout: { short: "mbizmarket terlalu lama menjawab", next: "Belum ada yang berubah." },
  mbiz_bad_response: {
    short: "Jawaban mbizmarket tidak dipahami",
    next: "Coba lagi nanti; bila berulang, hubungi operator.",
  },
  database_unavailable: { next: "" },
  internal_error: { next: "Coba lagi; bila berulang, hubungi operator dengan nomor di bawah ini." },
};

export const outcome = (code) => OUTCOME[code]?.short ?? "Tidak berhasil";

export const lastFailure = (code) => OUTCOME[code]?.next ?? "Silakan periksa isian Anda, lalu coba lagi.";

export const title = (problem) =>
  problem.body.title ?? OUTCOME[problem.code]?.title ?? "Jawaban layanan tidak dapat dipahami.";

/** What to do next about a problem, in a sentence or two. */
export function advice(problem) {
  const next = OUTCOME[problem.code]?.next ?? "Coba lagi; bila berulang, hubungi operator.";
  return [next, problem.retryAfter && `Tunggu ${duration(problem.retryAfter)}.`].filter(Boolean).join(" ");
}

function duration(seconds) {
  if (seconds < 90) return `${seconds} detik`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} menit` : `${Math.ceil(minutes / 60)} jam`;
}

const TIME = new Intl.DateTimeFormat("id-ID", { dateStyle: "medium", timeStyle: "short" });

export const time = (instant) => TIME.format(new Date(instant));
