/** Pictures in the page: checked, decoded as PyTorch's side decodes them, and drawn with their boxes. */

import { imageHeader } from '../data/image-size.ts';
import { BackdropError } from '../errors.ts';
import { bitmapPixels, decodeBitmap } from '../pixels.ts';

export const maxMegapixels = 100;
const maxBytes = 512 * 2 ** 20;

/** A detection as the library returns it: pixels of the original image. */
export interface Box {
  score: number;
  label: string;
  box: { xmin: number; ymin: number; xmax: number; ymax: number };
}

/** A detection, or a label, which has no score. */
export type DrawnBox = Omit<Box, 'score'> & { score?: number };

const imageError = (name: string, problem: string, hint?: string) =>
  new BackdropError('E_IMAGE', `${name}: ${problem}`, { ...(hint ? { hint } : {}), details: { image: name } });

/**
 * Decodes to RGBA as stored: no colour management and no premultiplied alpha (PIL does neither), EXIF orientation
 * applied. Throws E_IMAGE for what is empty, too large, no picture, or cut off.
 */
export async function decodeImage(blob: Blob, name: string): Promise<ImageBitmap> {
  if (blob.size === 0) throw imageError(name, 'the file is empty');
  if (blob.size > maxBytes) throw imageError(name, `the file has ${Math.round(blob.size / 2 ** 20)} MiB, more than ${maxBytes / 2 ** 20}`);
  // Large embedded profiles and thumbnails stand before a JPEG's size.
  const header = imageHeader(new Uint8Array(await blob.slice(0, 4 << 20).arrayBuffer()));
  if (header) checkSize(header.width, header.height, name);
  let bitmap: ImageBitmap;
  try {
    bitmap = await decodeBitmap(blob);
  } catch (cause) {
    const what = header ? `the ${header.format.toUpperCase()} data is damaged or cut off` : 'this is no picture that the browser can read';
    throw new BackdropError('E_IMAGE', `${name}: ${what}`, {
      cause,
      hint: 'JPEG, PNG, WebP, AVIF, GIF and BMP are read.',
      details: { image: name },
    });
  }
  try {
    checkSize(bitmap.width, bitmap.height, name);
  } catch (error) {
    bitmap.close();
    throw error;
  }
  return bitmap;
}

function checkSize(width: number, height: number, name: string): void {
  if (width === 0 || height === 0) throw imageError(name, `the picture is ${width} × ${height} pixels`);
  const megapixels = (width * height) / 1e6;
  if (megapixels <= maxMegapixels) return;
  const size = `${width} × ${height} pixels`;
  throw imageError(name, `${size} are ${Math.round(megapixels)} megapixels, more than ${maxMegapixels}`, 'Scale the picture down first.');
}

/** The pixels of a bitmap. Throws E_IMAGE where the browser cannot hold them. */
export function imagePixels(bitmap: ImageBitmap, name: string): ImageData {
  try {
    return bitmapPixels(bitmap);
  } catch (cause) {
    throw new BackdropError('E_IMAGE', `${name}: the browser cannot hold ${bitmap.width} × ${bitmap.height} pixels`, { cause });
  }
}

/** The picture with its boxes as a PNG file. */
export async function annotatedPng(bitmap: ImageBitmap, boxes: readonly Box[]): Promise<Uint8Array<ArrayBuffer>> {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d')!;
  context.drawImage(bitmap, 0, 0);
  drawBoxes(context, boxes, bitmap.width, bitmap.height);
  return new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer());
}

/** 0 to 360, the same for a label in every picture. */
function labelHue(label: string): number {
  let hash = 2166136261;
  for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 16777619);
  return ((hash >>> 0) * 137.508) % 360;
}

/** One colour a label: its hue comes from the name. */
export const labelColor = (label: string): string => `hsl(${labelHue(label)} 85% 45%)`;

/** Black letters on yellow, green and cyan, white ones on the darker hues: the better contrast of the two. */
export function letterColor(label: string): string {
  const hue = labelHue(label);
  return hue > 30 && hue < 200 ? '#000' : '#fff';
}

/** Draws boxes, strongest last, with labels that stay inside the picture. Line and letters scale with it. */
export function drawBoxes(
  context: CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D,
  boxes: readonly DrawnBox[],
  width: number,
  height: number,
): void {
  const line = Math.max(2, Math.round(Math.min(width, height) / 240));
  const size = Math.max(12, Math.round(Math.min(width, height) / 36));
  context.save();
  context.font = `600 ${size}px system-ui, "DejaVu Sans", sans-serif`;
  context.textBaseline = 'middle';
  context.lineWidth = line;
  for (const { score, label, box } of [...boxes].sort((a, b) => (a.score ?? 1) - (b.score ?? 1))) {
    const color = labelColor(label);
    context.strokeStyle = color;
    context.strokeRect(box.xmin, box.ymin, box.xmax - box.xmin, box.ymax - box.ymin);
    const text = score === undefined ? label : `${label} ${Math.round(score * 100)} %`;
    const tag = { width: context.measureText(text).width + size * 0.6, height: size * 1.35 };
    const x = Math.max(0, Math.min(box.xmin - line / 2, width - tag.width));
    // Above the box where there is room, else just inside it.
    const above = box.ymin - tag.height >= 0;
    const y = Math.max(0, Math.min(above ? box.ymin - tag.height : box.ymin, height - tag.height));
    context.fillStyle = color;
    context.fillRect(x, y, tag.width, tag.height);
    context.fillStyle = letterColor(label);
    context.fillText(text, x + size * 0.3, y + tag.height / 2);
  }
  context.restore();
}
