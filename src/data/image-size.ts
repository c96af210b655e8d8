/** Width and height from the first bytes of a picture, so that a hostile one is refused before anybody decodes it. */

export interface ImageHeader {
  format: 'png' | 'jpeg' | 'gif' | 'bmp' | 'webp' | 'avif';
  /** As stored, before EXIF turns the picture. */
  width: number;
  height: number;
  /** EXIF's orientation: 1 as stored, 5 to 8 exchange width and height. */
  orientation: number;
}

/** Reads the header; null when the format is unknown or the header damaged (the decoder has the last word then). */
export function imageHeader(bytes: Uint8Array): ImageHeader | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return readHeader(bytes, view);
  } catch (error) {
    // A read beyond the end: cut off within the header.
    if (error instanceof RangeError) return null;
    throw error;
  }
}

const text = (bytes: Uint8Array, offset: number, length: number) => String.fromCharCode(...bytes.subarray(offset, offset + length));

function readHeader(bytes: Uint8Array, view: DataView): ImageHeader | null {
  if (view.getUint32(0) === 0x89504e47 && text(bytes, 12, 4) === 'IHDR') {
    return { format: 'png', width: view.getUint32(16), height: view.getUint32(20), orientation: pngOrientation(bytes, view) };
  }
  if (view.getUint16(0) === 0xffd8) return jpegHeader(bytes, view);
  const start = text(bytes, 0, 4);
  if (start === 'GIF8') return { format: 'gif', width: view.getUint16(6, true), height: view.getUint16(8, true), orientation: 1 };
  if (start.startsWith('BM')) {
    // Negative heights mean top-down rows.
    return { format: 'bmp', width: Math.abs(view.getInt32(18, true)), height: Math.abs(view.getInt32(22, true)), orientation: 1 };
  }
  if (start === 'RIFF' && text(bytes, 8, 4) === 'WEBP') return webpHeader(bytes, view);
  if (text(bytes, 4, 4) === 'ftyp') return avifHeader(bytes, view);
  return null;
}

/** Of an eXIf chunk before the pixels: Chrome heeds no later one (156, measured), nor any EXIF in a WebP. */
function pngOrientation(bytes: Uint8Array, view: DataView): number {
  for (let offset = 33; offset + 12 <= bytes.byteLength; offset += 12 + view.getUint32(offset)) {
    const kind = text(bytes, offset + 4, 4);
    if (kind === 'IDAT' || kind === 'IEND') break;
    if (kind === 'eXIf') return exifOrientation(bytes.subarray(offset + 8, offset + 8 + view.getUint32(offset)));
  }
  return 1;
}

/** Walks the segments to the frame header (SOF0..15 without the tables DHT, JPG, DAC among these numbers). */
function jpegHeader(bytes: Uint8Array, view: DataView): ImageHeader | null {
  let offset = 2;
  let orientation = 1;
  for (;;) {
    if (view.getUint8(offset) !== 0xff) return null;
    const marker = view.getUint8(offset + 1);
    if (marker === 0xff) {
      offset++;
      continue;
    }
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      return { format: 'jpeg', width: view.getUint16(offset + 7), height: view.getUint16(offset + 5), orientation };
    }
    if (marker === 0xd9 || marker === 0xda) return null;
    if (marker === 0xe1 && orientation === 1 && text(bytes, offset + 4, 6) === 'Exif\0\0') {
      orientation = exifOrientation(bytes.subarray(offset + 10, offset + 2 + view.getUint16(offset + 2)));
    }
    offset += marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8) ? 2 : 2 + view.getUint16(offset + 2);
    if (offset >= bytes.byteLength) return null;
  }
}

/** Tag 0x0112 of the first directory of a TIFF structure (EXIF 2.3, 4.6.4); 1 when it is absent or makes no sense. */
function exifOrientation(tiff: Uint8Array): number {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  try {
    const order = text(tiff, 0, 2);
    if (order !== 'II' && order !== 'MM') return 1;
    const little = order === 'II';
    const start = view.getUint32(4, little);
    const count = view.getUint16(start, little);
    for (let i = 0; i < count; i++) {
      const entry = start + 2 + 12 * i;
      if (view.getUint16(entry, little) !== 0x0112) continue;
      const value = view.getUint16(entry + 8, little);
      return view.getUint16(entry + 2, little) === 3 && value >= 1 && value <= 8 ? value : 1;
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

function webpHeader(bytes: Uint8Array, view: DataView): ImageHeader | null {
  const kind = text(bytes, 12, 4);
  const uint24 = (offset: number) => view.getUint16(offset, true) | (view.getUint8(offset + 2) << 16);
  if (kind === 'VP8X') return { format: 'webp', width: uint24(24) + 1, height: uint24(27) + 1, orientation: 1 };
  if (kind === 'VP8 ')
    return { format: 'webp', width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff, orientation: 1 };
  if (kind !== 'VP8L') return null;
  const bits = view.getUint32(21, true);
  return { format: 'webp', width: (bits & 0x3fff) + 1, height: ((bits >> 14) & 0x3fff) + 1, orientation: 1 };
}

/** The largest "image spatial extents" property: tiles and thumbnails have their own. */
function avifHeader(bytes: Uint8Array, view: DataView): ImageHeader | null {
  let best: ImageHeader | null = null;
  const end = Math.min(bytes.byteLength - 16, 1 << 16);
  for (let i = 8; i < end; i++) {
    if (view.getUint32(i) !== 0x69737065) continue;
    const [width, height] = [view.getUint32(i + 8), view.getUint32(i + 12)];
    if (!best || width * height > best.width * best.height) best = { format: 'avif', width, height, orientation: 1 };
  }
  return best;
}
