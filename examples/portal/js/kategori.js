const SVG = "http://www.w3.org/2000/svg";

/** What can be bought, with a drawing for each. `name` is what mbizmarket is told. */
export const CATEGORIES = [
  ["alat-tulis-kantor", "Alat Tulis Kantor", "Kertas, alat tulis, map, tinta, dan keperluan kantor sehari-hari.", "M4 20l1-5L16 4l4 4L9 19z M13 7l4 4"],
  ["makanan-minuman", "Makanan dan Minuman", "Katering rapat, kudapan, dan air minum.", "M5 9h12v6a5 5 0 0 1-5 5h-2a5 5 0 0 1-5-5z M17 11h2a2 2 0 0 1 0 5h-2 M9 3v3 M13 3v3"],
  ["komputer-elektronik", "Komputer dan Elektronik", "Laptop, pencetak, proyektor, dan perlengkapannya.", "M4 5h16v11H4z M9 20h6 M12 16v4"],
  ["furnitur", "Furnitur Kantor", "Meja, kursi, lemari arsip, dan rak.", "M6 12V5h12v7 M4 12h16v4H4z M6 16v4 M18 16v4"],
  ["sewa-kendaraan", "Sewa Kendaraan", "Mobil, bus, dan kendaraan angkutan barang.", "M3 15v-3l3-5h9l4 5h2v4H3z M7 18.5a1.8 1.8 0 1 0 .1 0 M17 18.5a1.8 1.8 0 1 0 .1 0"],
  ["cetak-cendera-mata", "Cetak dan Cendera Mata", "Spanduk, brosur, plakat, dan cendera mata.", "M7 9V4h10v5 M5 9h14v7h-2 M7 16H5V9 M7 13h10v7H7z"],
  ["kebersihan", "Kebersihan dan Perawatan", "Jasa kebersihan, bahan pembersih, dan perawatan gedung.", "M12 3c4 5 6 7.500 6 11a6 6 0 0 1-12 0c0-3.500 2-6 6-11z"],
].map(([slug, name, about, path]) => ({ slug, name, about, icon: () => icon(path) }));

export const category = (slug) => CATEGORIES.find((one) => one.slug === slug);

function icon(path) {
  const drawing = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "path");
  for (const [name, value] of Object.entries({ viewBox: "0 0 24 24", width: 24, height: 24, "aria-hidden": "true" }))
    drawing.setAttribute(name, value);
  line.setAttribute("d", path);
  drawing.append(line);
  return drawing;
}
