/** The size that headers tell is the one the browser shows, whatever EXIF says and wherever it says it. */
import { expect, it } from 'vitest';
import { checkImage } from '../../src/data/image-check.ts';
import { crc32 } from '../../weights-tools/crc32.ts';
import { page } from '../setup/gpu.ts';
import { memoryDirectory } from './memory.ts';

const make = (type: string) => page.call<Uint8Array>('make picture', { type, width: 64, height: 32 });
const shown = async (bytes: Uint8Array) => {
  const { width, height } = await page.call<{ width: number; height: number }>('decode picture', bytes);
  return { width, height };
};
const ascii = (text: string) => [...new TextEncoder().encode(text)];
const big = (value: number) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const little = (value: number) => big(value).reverse();

/** A TIFF directory with the one tag, in either byte order. */
const tiff = (orientation: number, order: 'MM' | 'II') =>
  order === 'MM'
    ? [...ascii('MM'), 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]
    : [...ascii('II'), 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0, 0, 0, 0, 0];

const withExif: Record<string, (bytes: Uint8Array, exif: number[]) => number[]> = {
  'image/jpeg': (bytes, exif) => [0xff, 0xd8, 0xff, 0xe1, 0, exif.length + 8, ...ascii('Exif'), 0, 0, ...exif, ...bytes.subarray(2)],
  'image/png': (bytes, exif) => [...bytes.subarray(0, 33), ...pngChunk(exif), ...bytes.subarray(33)],
  'image/png, late': (bytes, exif) => [...bytes.subarray(0, -12), ...pngChunk(exif), ...bytes.subarray(-12)],
  'image/webp': (bytes, exif) => {
    const rest = [...bytes.subarray(30), ...ascii('EXIF'), ...little(exif.length), ...exif];
    const header = [...bytes.subarray(12, 20), bytes[20]! | 0x08, ...bytes.subarray(21, 30)];
    return [...ascii('RIFF'), ...little(4 + header.length + rest.length), ...ascii('WEBP'), ...header, ...rest];
  },
};

function pngChunk(exif: number[]): number[] {
  const body = [...ascii('eXIf'), ...exif];
  return [...big(exif.length), ...body, ...big(crc32(new Uint8Array(body)))];
}

it.each(Object.keys(withExif))('%s', async (kind) => {
  const plain = await make(kind.split(',')[0]!);
  const sizes = new Set<string>();
  for (const order of ['MM', 'II'] as const) {
    for (let orientation = 0; orientation <= 9; orientation++) {
      const bytes = new Uint8Array(withExif[kind]!(plain, tiff(orientation, order)));
      const facts = await checkImage(memoryDirectory({ a: bytes }), 'a');
      const size = await shown(bytes);
      expect(facts, `${order} ${orientation}`).toMatchObject(size);
      sizes.add(`${size.width}×${size.height}`);
    }
  }
  expect(sizes).toEqual(new Set(kind === 'image/jpeg' || kind === 'image/png' ? ['64×32', '32×64'] : ['64×32']));
});
