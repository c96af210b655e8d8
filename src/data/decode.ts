/** An image file of a data set as RGB bytes. */
import { BackdropError } from '../errors.ts';
import { bitmapPixels, decodeBitmap } from '../pixels.ts';
import type { RgbImage } from './augment/resample.ts';
import type { ImageRecord } from './dataset.ts';
import { imageHeader } from './image-size.ts';

const failure = (file: string, problem: string, hint: string, cause?: unknown) =>
  new BackdropError('E_DATA', `${file}: ${problem}`, { hint, details: { file }, ...(cause === undefined ? {} : { cause }) });

/** Enough for the headers of almost every picture; of the others the decoder tells the size. */
const headBytes = 1 << 16;
const mostPixels = 100e6;

/**
 * Decodes the record's file as `detect` does. A picture of another size than its labels tell is refused by its header, undecoded.
 * @throws BackdropError E_DATA, with `file` in its details, for what is no picture, damaged, too large, or of another size
 */
export async function decodeRecord(blob: Blob, record: ImageRecord): Promise<RgbImage> {
  const { file, width, height } = record;
  if (blob.size === 0) throw failure(file, 'the file is empty', 'Copy it again, or take the image out of the data set.');
  if (width * height > mostPixels) {
    throw failure(
      file,
      `${width} x ${height} are more than ${mostPixels / 1e6} megapixels`,
      'Scale the picture down; training sees far fewer.',
    );
  }
  const header = imageHeader(new Uint8Array(await blob.slice(0, headBytes).arrayBuffer()));
  if (header) {
    const turned = header.orientation >= 5;
    checkSize(record, turned ? header.height : header.width, turned ? header.width : header.height);
  }
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
    checkSize(record, bitmap.width, bitmap.height);
    return { data: rgbOf(pixelsOf(bitmap, file)), width, height };
  } finally {
    bitmap.close();
  }
}

function checkSize({ file, width, height }: ImageRecord, found: number, foundHeight: number): void {
  if (found === width && foundHeight === height) return;
  const hint = 'Boxes would be in the wrong place. Was the picture scaled or turned after it was labelled?';
  throw failure(file, `the picture has ${found} x ${foundHeight} pixels, its labels are for ${width} x ${height}`, hint);
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
