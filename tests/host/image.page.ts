/** Pictures made and read in the page, for tests/host/image.test.ts. */
import { annotatedPng, type Box, decodeImage, imagePixels } from '../../src/host/image.ts';
import { register } from '../../src/host/page-registry.ts';

interface Made {
  type: string;
  width: number;
  height: number;
}

/** Left half red, right half blue, top row of 8 pixels green. */
register('make picture', async ({ type, width, height }: Made) => {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d')!;
  for (const [color, x, y, w, h] of [
    ['#f00', 0, 0, width / 2, height],
    ['#00f', width / 2, 0, width / 2, height],
    ['#0f0', 0, 0, width, 8],
  ] as const) {
    context.fillStyle = color;
    context.fillRect(x, y, w, h);
  }
  return new Uint8Array(await (await canvas.convertToBlob({ type, quality: 0.95 })).arrayBuffer());
});

register('decode picture', async (bytes: Uint8Array<ArrayBuffer>) => {
  const bitmap = await decodeImage(new Blob([bytes]), 'x.img');
  const { width, height, data } = imagePixels(bitmap, 'x.img');
  bitmap.close();
  return { width, height, data: new Uint8Array(data) };
});

register('annotate picture', async ({ bytes, boxes }: { bytes: Uint8Array<ArrayBuffer>; boxes: Box[] }) => {
  const bitmap = await decodeImage(new Blob([bytes]), 'x.img');
  return annotatedPng(bitmap, boxes);
});
