/** An image file of a data set as RGB bytes. */
import { BackdropError } from '../errors.ts';
import { bitmapPixels, decodeBitmap } from '../pixels.ts';
import type { RgbImage } from './augment/resample.ts';
import type { ImageRecord } from './dataset.ts';

const failure = (file: string, problem: string, hint: string, cause?: unknown) =>
  new BackdropError('E_DATA', `${file}: ${problem}`, { hint, details: { file }, ...(cause === undefined ? {} : { cause }) });

/**
 * Decodes the record's file as `detect` does.
 * @throws BackdropError E_DATA, with `file` in its details, for what is no picture, damaged, or of another size than its labels tell
 */
export async function decodeRecord(blob: Blob, { file, width, height }: ImageRecord): Promise<RgbImage> {
  if (blob.size === 0) throw failure(file, 'the file is empty', 'Copy it again, or take the image out of the data set.');
  let bitmap: ImageBitmap;
  try {
    bitmap = await decodeBitmap(blob);
  } catch (cause) {
    throw failure(
      file,
      'this is no picture that the browser can read, or it is damaged',
      '`backdrop data check` finds all such files.',
      cause,
    );
  }
  try {
    if (bitmap.width !== width || bitmap.height !== height) {
      const found = `${bitmap.width} x ${bitmap.height}`;
      throw failure(file, `the picture has ${found} pixels, its labels are for ${width} x ${height}`, 'Boxes would be in the wrong place.');
    }
    return { data: rgbOf(pixelsOf(bitmap, file)), width, height };
  } finally {
    bitmap.close();
  }
}

function pixelsOf(bitmap: ImageBitmap, file: string): Uint8ClampedArray {
  try {
    return bitmapPixels(bitmap).data;
  } catch (cause) {
    const size = `${bitmap.width} x ${bitmap.height}`;
    throw failure(file, `the browser cannot hold ${size} pixels`, 'Scale the data set down first; training sees far fewer pixels.', cause);
  }
}

function rgbOf(rgba: Uint8ClampedArray): Uint8Array {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    rgb[to] = rgba[from];
    rgb[to + 1] = rgba[from + 1];
    rgb[to + 2] = rgba[from + 2];
  }
  return rgb;
}
