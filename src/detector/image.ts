/** Pixels of whatever a page calls an image. */
import { BackdropError } from '../errors.ts';

/** Bytes R, G, B, A, row by row: an ImageData, or one's own. */
export interface PixelImage {
  data: Uint8ClampedArray | Uint8Array;
  width: number;
  height: number;
}

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
    bitmap = await createImageBitmap(image, { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' });
  } catch (cause) {
    throw new BackdropError('E_IMAGE', `The image could not be decoded: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  try {
    const { width, height } = bitmap;
    const canvas = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
    if (!canvas) throw new BackdropError('E_IMAGE', `The browser has no room for an image of ${width}x${height} pixels.`);
    canvas.drawImage(bitmap, 0, 0);
    return { data: canvas.getImageData(0, 0, width, height).data, width, height };
  } finally {
    bitmap.close();
  }
}

/** One u32 a pixel, R in the lowest byte. Shares the memory where it can. */
export function packPixels({ data }: PixelImage): Uint32Array {
  const bytes = data.byteOffset % 4 === 0 ? data : data.slice();
  return new Uint32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length / 4);
}
