/**
 * Just enough of PNG (W3C recommendation, third edition) for our own sprite sheet: 8-bit RGBA, not interlaced. A browser's decoder
 * would do, but goes through premultiplied pixels and colour management; these are the same bytes in Node and in every page.
 */
import { BackdropError } from '../../errors.ts';

export interface RgbaImage {
  readonly width: number;
  readonly height: number;
  /** [height, width, 4], not premultiplied. */
  readonly pixels: Uint8Array;
}

const broken = (problem: string): BackdropError =>
  new BackdropError('E_IMAGE', `sprite sheet: ${problem}`, { hint: 'The file is damaged: install Backdrop again.' });

/** Decodes an 8-bit RGBA PNG. @throws BackdropError E_IMAGE for any other file */
export async function decodeRgbaPng(bytes: Uint8Array<ArrayBuffer>): Promise<RgbaImage> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 33 || view.getUint32(0) !== 0x89504e47 || view.getUint32(12) !== 0x49484452) throw broken('this is no PNG file');
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  if (view.getUint8(24) !== 8 || view.getUint8(25) !== 6 || view.getUint8(28) !== 0) throw broken('expected 8-bit RGBA, not interlaced');
  const data: Uint8Array<ArrayBuffer>[] = [];
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    if (at + 12 + length > bytes.length) throw broken('the file is cut off');
    if (view.getUint32(at + 4) === 0x49444154) data.push(bytes.subarray(at + 8, at + 8 + length));
    at += 12 + length;
  }
  const rows = await inflate(new Blob(data));
  const stride = 4 * width;
  if (rows.length !== (stride + 1) * height) throw broken(`${rows.length} bytes of pixels, expected ${(stride + 1) * height}`);
  return { width, height, pixels: unfilter(rows, stride, height) };
}

async function inflate(compressed: Blob): Promise<Uint8Array> {
  try {
    return new Uint8Array(await new Response(compressed.stream().pipeThrough(new DecompressionStream('deflate'))).arrayBuffer());
  } catch {
    throw broken('its compressed data is damaged');
  }
}

function unfilter(rows: Uint8Array, stride: number, height: number): Uint8Array {
  const pixels = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = rows[y * (stride + 1)]!;
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const left = x >= 4 ? pixels[at - 4]! : 0;
      const up = y > 0 ? pixels[at - stride]! : 0;
      const corner = x >= 4 && y > 0 ? pixels[at - stride - 4]! : 0;
      pixels[at] = rows[at + y + 1]! + predicted(filter, left, up, corner);
    }
  }
  return pixels;
}

/** What a filter expects from the pixels to the left, above, and above to the left. */
function predicted(filter: number, left: number, up: number, corner: number): number {
  if (filter < 3) return [0, left, up][filter]!;
  if (filter === 3) return (left + up) >> 1;
  const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
