/** Pixels of whatever a page calls an image. */
import { BackdropError } from '../errors.ts';
import { bitmapPixels, decodeBitmap, type PixelImage } from '../pixels.ts';

/** Anything createImageBitmap takes (a Blob or File turns by its EXIF orientation), or pixels. */
export type DetectorImage = PixelImage | ImageBitmapSource;

function isPixels(image: DetectorImage): image is PixelImage {
  if (!('data' in image && 'width' in image && 'height' in image)) return false;
  return image.data instanceof Uint8ClampedArray || image.data instanceof Uint8Array;
}

/** @throws BackdropError E_IMAGE */
export async function readPixels(image: DetectorImage): Promise<PixelImage> {
  if (isPixels(image)) {
    const { data, width, height } = image;
    if (!(width >= 1 && height >= 1) || data.length !== width * height * 4) {
      throw new BackdropError('E_IMAGE', `An image of ${width}x${height} pixels has ${width * height * 4} bytes, got ${data.length}.`);
    }
    return image;
  }
  let bitmap: ImageBitmap;
  try {
    bitmap = await decodeBitmap(image);
  } catch (cause) {
    throw new BackdropError('E_IMAGE', `The image could not be decoded: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  try {
    return bitmapPixels(bitmap);
  } catch (cause) {
    throw new BackdropError('E_IMAGE', `The browser has no room for an image of ${bitmap.width}x${bitmap.height} pixels.`, { cause });
  } finally {
    bitmap.close();
  }
}

/** One u32 a pixel, R in the lowest byte. Shares the memory where it can. */
export function packPixels({ data }: PixelImage): Uint32Array {
  const bytes = data.byteOffset % 4 === 0 ? data : data.slice();
  return new Uint32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / 4);
}
