/** What a picture's file tells without being decoded: its size as a browser shows it, and whether it is one and complete. */
import type { DataDirectory } from './dataset.ts';
import { readPart } from './directory.ts';
import { imageHeader } from './image-size.ts';

export interface ImageFacts {
  /** Upright: turned as EXIF says. */
  readonly width: number;
  readonly height: number;
  /** EXIF's orientation, 1 (as stored) to 8. */
  readonly orientation: number;
  readonly bytes: number;
}

/** Enough for almost every header; cameras' thumbnails and colour profiles can stand before a JPEG's size. */
const headBytes = 1 << 16;
const longHeadBytes = 1 << 23;
const tailBytes = 1 << 16;

/** The facts, or what is wrong with the file. @throws what the directory throws */
export async function checkImage(directory: DataDirectory, path: string): Promise<ImageFacts | { broken: string }> {
  let { bytes, size } = await readPart(directory, path, 0, headBytes);
  if (size === 0) return { broken: 'the file is empty' };
  let header = imageHeader(bytes);
  if (!header && size > bytes.length) {
    ({ bytes, size } = await readPart(directory, path, 0, longHeadBytes));
    header = imageHeader(bytes);
  }
  if (!header) return { broken: whatElse(bytes) };
  const { width, height, orientation } = header;
  if (width === 0 || height === 0) return { broken: `the picture is ${width} × ${height} pixels` };
  const tail = size <= bytes.length ? bytes : (await readPart(directory, path, Math.max(0, size - tailBytes), size)).bytes;
  if (!isComplete(header.format, bytes, tail, size)) return { broken: 'the picture is cut off: its end is missing' };
  const turned = orientation >= 5;
  return { width: turned ? height : width, height: turned ? width : height, orientation, bytes: size };
}

function whatElse(bytes: Uint8Array): string {
  const start = String.fromCharCode(...bytes.subarray(0, 64));
  if (start.startsWith('version https://git-lfs')) return 'this is a Git LFS pointer, not the picture: run "git lfs pull"';
  if (/^\s*<(?:!doctype|html)/i.test(start)) return 'this is a web page, not a picture';
  if (start.startsWith('II*\0') || start.startsWith('MM\0*')) return 'this is a TIFF, which browsers do not read: convert it to PNG';
  return 'this is no picture that browsers read (JPEG, PNG, WebP, AVIF, GIF, BMP), or its header is damaged';
}

/** Is the end there? Browsers refuse a picture that is cut off. Formats whose end cannot be told pass. */
function isComplete(format: string, head: Uint8Array, tail: Uint8Array, size: number): boolean {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength);
  if (format === 'webp') return view.getUint32(4, true) + 8 <= size;
  if (format === 'jpeg') return hasMarker(tail, [0xff, 0xd9]);
  if (format === 'png') return hasMarker(tail, [0x49, 0x45, 0x4e, 0x44]);
  return true;
}

function hasMarker(bytes: Uint8Array, marker: readonly number[]): boolean {
  for (let at = bytes.length - marker.length; at >= 0; at--) {
    if (marker.every((byte, i) => bytes[at + i] === byte)) return true;
  }
  return false;
}
