/** Data sets in memory: files by path, and pictures that are nothing but a header and an end. */
import type { DataDirectory } from '../../src/data/dataset.ts';
import { filesDirectory } from '../../src/data/directory.ts';

export type Files = Record<string, string | Uint8Array>;

export const memoryDirectory = (files: Files): DataDirectory =>
  filesDirectory(Object.entries(files).map(([path, content]) => ({ path: `top/${path}`, file: new Blob([content as BlobPart]) })));

const ascii = (text: string) => [...new TextEncoder().encode(text)];
const uint32 = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];

/** A PNG's header chunk and its end: what a reader of headers needs. `seed` makes files differ. */
export function png(width: number, height: number, seed = 0): Uint8Array {
  const signature = [0x89, ...ascii('PNG\r\n'), 0x1a, 0x0a];
  const header = [...uint32(13), ...ascii('IHDR'), ...uint32(width), ...uint32(height), 8, 2, 0, 0, 0, ...uint32(seed)];
  return new Uint8Array([...signature, ...header, ...uint32(0), ...ascii('IEND'), 0xae, 0x42, 0x60, 0x82]);
}

/** A JPEG's frame header behind an EXIF segment, and its end. */
export function jpeg(width: number, height: number, orientation = 1): Uint8Array {
  const tiff = [...ascii('MM'), 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0];
  const exif = [...ascii('Exif'), 0, 0, ...tiff];
  const frame = [0xff, 0xc0, 0, 11, 8, height >> 8, height & 255, width >> 8, width & 255, 1, 1, 0x11, 0];
  return new Uint8Array([0xff, 0xd8, 0xff, 0xe1, 0, exif.length + 2, ...exif, ...frame, 0xff, 0xda, 0, 2, 1, 2, 3, 0xff, 0xd9]);
}
