/** Pictures as bytes: the one way from a file to pixels, so that training, evaluation and detection see the same. */

/** Bytes R, G, B, A, row by row: an ImageData, or one's own. */
export interface PixelImage {
  data: Uint8ClampedArray | Uint8Array;
  width: number;
  height: number;
}

/**
 * Decodes as PIL does: no colour management, no premultiplied alpha; turned by its EXIF orientation.
 * Rejects with createImageBitmap's error when the file is no picture, or a damaged one.
 */
export const decodeBitmap = (image: ImageBitmapSource): Promise<ImageBitmap> =>
  createImageBitmap(image, { colorSpaceConversion: 'none', premultiplyAlpha: 'none', imageOrientation: 'from-image' });

/** The pixels of a bitmap. Throws where the browser cannot hold them. */
export function bitmapPixels(bitmap: ImageBitmap): ImageData {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error(`the browser cannot hold ${width} x ${height} pixels`);
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height);
}
