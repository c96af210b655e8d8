// Makes src/data/scenes/sprites/sprites.png from Noto Color Emoji (Debian's package fonts-noto-color-emoji), once:
//   node src/host/make-sprites.mjs /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf
// The font holds every emoji as a PNG of 136 x 128 pixels (OpenType tables cmap, CBLC, CBDT). They are decoded and laid out in
// cells of that size, eight a row, in the order of categories.ts.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync, inflateSync } from 'node:zlib';

const [cellWidth, cellHeight, columns] = [136, 128, 8];
const folder = new URL('../data/scenes/', import.meta.url);
const font = readFileSync(process.argv[2] ?? '/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf');

/** Where a table begins. @param {string} tag */
function table(tag) {
  for (let i = 0; i < font.readUInt16BE(4); i++) {
    const entry = 12 + 16 * i;
    if (font.toString('latin1', entry, entry + 4) === tag) return font.readUInt32BE(entry + 8);
  }
  throw new Error(`the font has no table ${tag}`);
}

/** The glyph of a code point, by the cmap subtable of format 12. @param {number} codePoint */
function glyphOf(codePoint) {
  const cmap = table('cmap');
  for (let i = 0; i < font.readUInt16BE(cmap + 2); i++) {
    const subtable = cmap + font.readUInt32BE(cmap + 8 + 8 * i);
    if (font.readUInt16BE(subtable) !== 12) continue;
    for (let group = 0; group < font.readUInt32BE(subtable + 12); group++) {
      const at = subtable + 16 + 12 * group;
      const [first, last, glyph] = [font.readUInt32BE(at), font.readUInt32BE(at + 4), font.readUInt32BE(at + 8)];
      if (codePoint >= first && codePoint <= last) return glyph + codePoint - first;
    }
  }
  throw new Error(`the font has no glyph for U+${codePoint.toString(16)}`);
}

/** The PNG of a glyph: index format 1 (an offset each), image format 17 (small metrics, length, PNG). @param {number} glyph */
function pngOf(glyph) {
  const cblc = table('CBLC');
  const list = cblc + font.readUInt32BE(cblc + 8);
  for (let i = 0; i < font.readUInt32BE(cblc + 16); i++) {
    const [first, last] = [font.readUInt16BE(list + 8 * i), font.readUInt16BE(list + 8 * i + 2)];
    if (glyph < first || glyph > last) continue;
    const subtable = list + font.readUInt32BE(list + 8 * i + 4);
    const data = table('CBDT') + font.readUInt32BE(subtable + 4) + font.readUInt32BE(subtable + 8 + 4 * (glyph - first));
    return font.subarray(data + 9, data + 9 + font.readUInt32BE(data + 5));
  }
  throw new Error(`the font has no picture of glyph ${glyph}`);
}

/** @param {number} filter @param {number} left @param {number} up @param {number} corner */
function predicted(filter, left, up, corner) {
  if (filter === 0) return 0;
  if (filter === 1) return left;
  if (filter === 2) return up;
  if (filter === 3) return (left + up) >> 1;
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/** RGBA of a PNG with 1 to 8 bits: palette or RGBA. @param {Buffer} png */
function decode(png) {
  const [width, height, depth, type] = [png.readUInt32BE(16), png.readUInt32BE(20), png[24], png[25]];
  /** @type {Record<string, Buffer[]>} */
  const chunks = {};
  for (let at = 8; at < png.length; at += 12 + png.readUInt32BE(at)) {
    const name = png.toString('latin1', at + 4, at + 8);
    chunks[name] = [...(chunks[name] ?? []), png.subarray(at + 8, at + 8 + png.readUInt32BE(at))];
  }
  if (type !== 3 && (type !== 6 || depth !== 8)) throw new Error(`PNG of colour type ${type} with ${depth} bits`);
  const bytes = inflateSync(Buffer.concat(chunks.IDAT));
  const step = type === 6 ? 4 : 1;
  const stride = type === 6 ? 4 * width : Math.ceil((width * depth) / 8);
  const rows = Buffer.alloc(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = bytes[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const left = x >= step ? rows[y * stride + x - step] : 0;
      const up = y > 0 ? rows[(y - 1) * stride + x] : 0;
      const corner = x >= step && y > 0 ? rows[(y - 1) * stride + x - step] : 0;
      rows[y * stride + x] = bytes[y * (stride + 1) + 1 + x] + predicted(filter, left, up, corner);
    }
  }
  if (type === 6) return { width, height, pixels: rows };
  const pixels = Buffer.alloc(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    const index = (rows[y * stride + ((x * depth) >> 3)] >> (8 - depth - ((x * depth) & 7))) & ((1 << depth) - 1);
    for (let c = 0; c < 3; c++) pixels[4 * i + c] = chunks.PLTE[0][3 * index + c];
    pixels[4 * i + 3] = chunks.tRNS?.[0][index] ?? 255;
  }
  return { width, height, pixels };
}

/** @param {number} width @param {number} height @param {Buffer} pixels RGBA */
function encode(width, height, pixels) {
  const stride = 4 * width;
  const rows = Buffer.alloc((stride + 1) * height);
  for (let y = 0; y < height; y++) {
    rows[y * (stride + 1)] = 4;
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const left = x >= 4 ? pixels[at - 4] : 0;
      const up = y > 0 ? pixels[at - stride] : 0;
      const corner = x >= 4 && y > 0 ? pixels[at - stride - 4] : 0;
      rows[y * (stride + 1) + 1 + x] = pixels[at] - predicted(4, left, up, corner);
    }
  }
  const header = Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 8, 6, 0, 0, 0]);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  const chunk = (/** @type {string} */ name, /** @type {Buffer} */ data) => {
    const all = Buffer.concat([Buffer.alloc(4), Buffer.from(name, 'latin1'), data, Buffer.alloc(4)]);
    all.writeUInt32BE(data.length, 0);
    all.writeUInt32BE(crc32(all.subarray(4, 8 + data.length)), 8 + data.length);
    return all;
  };
  const signature = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(rows, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
}

// row('boat', '⛵🚤...', ...): this runs where TypeScript does not.
const source = readFileSync(new URL('categories.ts', folder), 'utf8');
const emoji = [...source.matchAll(/ row\('\w+', '([^']+)'/g)].flatMap(([, variants]) => [...variants]);
const [width, height] = [columns * cellWidth, Math.ceil(emoji.length / columns) * cellHeight];
const sheet = Buffer.alloc(4 * width * height);
for (const [i, character] of emoji.entries()) {
  const image = decode(pngOf(glyphOf(/** @type {number} */ (character.codePointAt(0)))));
  if (image.width !== cellWidth || image.height !== cellHeight) throw new Error(`${character} has ${image.width} x ${image.height} pixels`);
  for (let y = 0; y < cellHeight; y++) {
    const target = 4 * ((Math.floor(i / columns) * cellHeight + y) * width + (i % columns) * cellWidth);
    image.pixels.copy(sheet, target, 4 * y * cellWidth, 4 * (y + 1) * cellWidth);
  }
}
// A colour nobody sees costs bytes.
for (let i = 0; i < sheet.length; i += 4) if (sheet[i + 3] === 0) sheet.fill(0, i, i + 3);
const png = encode(width, height, sheet);
writeFileSync(fileURLToPath(new URL('sprites/sprites.png', folder)), png);
console.log(`${emoji.length} sprites, ${width} x ${height}, ${png.length} bytes`);
