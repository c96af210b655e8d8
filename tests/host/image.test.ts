import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { imageHeader } from '../../src/data/image-size.ts';
import { page } from '../setup/gpu.ts';

interface Picture {
  width: number;
  height: number;
  data: Uint8Array;
}
const make = (type: string, width = 64, height = 32) => page.call<Uint8Array<ArrayBuffer>>('make picture', { type, width, height });
const decode = (bytes: Uint8Array) => page.call<Picture>('decode picture', bytes);
const pixel = ({ width, data }: Picture, x: number, y: number) => [...data.subarray((y * width + x) * 4, (y * width + x) * 4 + 4)];

/** A JPEG with an EXIF segment that says how it is to be turned. */
function withOrientation(jpeg: Uint8Array, orientation: number): Uint8Array {
  const tiff = [0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0];
  const body = [0x45, 0x78, 0x69, 0x66, 0, 0, ...tiff];
  return new Uint8Array([0xff, 0xd8, 0xff, 0xe1, 0, body.length + 2, ...body, ...jpeg.subarray(2)]);
}

describe('a picture', () => {
  it('is decoded to the bytes it holds', async () => {
    const picture = await decode(await make('image/png'));
    expect([picture.width, picture.height]).toEqual([64, 32]);
    expect(pixel(picture, 3, 3)).toEqual([0, 255, 0, 255]);
    expect(pixel(picture, 3, 20)).toEqual([255, 0, 0, 255]);
    expect(pixel(picture, 60, 20)).toEqual([0, 0, 255, 255]);
  });

  it('is turned as its EXIF orientation says', async () => {
    // 6: the camera was held so that the picture has to be turned by 90 degrees clockwise.
    const turned = await decode(withOrientation(await make('image/jpeg'), 6));
    expect([turned.width, turned.height]).toEqual([32, 64]);
    const [red, green, blue] = pixel(turned, 28, 32);
    expect(green! > 200 && red! < 80 && blue! < 80).toBe(true);
  });

  it('keeps its annotated copy the same size, and everything inside it', async () => {
    const bytes = await make('image/png', 320, 240);
    const boxes = [
      { score: 0.9, label: 'at the top edge', box: { xmin: 250, ymin: 0, xmax: 319, ymax: 100 } },
      { score: 0.5, label: 'cell', box: { xmin: 10, ymin: 100, xmax: 100, ymax: 200 } },
    ];
    const png = await page.call<Uint8Array>('annotate picture', { bytes, boxes });
    const drawn = await decode(png);
    const before = await decode(bytes);
    expect([drawn.width, drawn.height]).toEqual([320, 240]);
    expect(pixel(drawn, 10, 150)).not.toEqual(pixel(before, 10, 150));
    expect(pixel(drawn, 50, 150)).toEqual(pixel(before, 50, 150));
  });

  it.each([
    ['nothing', async () => new Uint8Array(0), /the file is empty/],
    ['text', async () => new TextEncoder().encode('<html>not found</html>'), /no picture that the browser can read/],
    ['a cut-off PNG', async () => (await make('image/png')).slice(0, -20), /PNG data is damaged or cut off/],
    ['a cut-off JPEG', async () => (await make('image/jpeg')).slice(0, -60), /JPEG data is damaged or cut off/],
    ['a PNG of 400 megapixels', async () => resized(await make('image/png'), 20_000, 20_000), /400 megapixels, more than 100/],
  ])('that is %s gives E_IMAGE', async (_, bytes, message) => {
    const error = await decode(await bytes()).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: 'E_IMAGE', message: expect.stringMatching(message) });
  });
});

function resized(png: Uint8Array, width: number, height: number): Uint8Array {
  const copy = png.slice();
  new DataView(copy.buffer).setUint32(16, width);
  new DataView(copy.buffer).setUint32(20, height);
  return copy;
}

describe('the header of a picture', () => {
  it.each(['png', 'jpeg', 'webp'])('gives the size of a %s', async (format) => {
    expect(imageHeader(await make(`image/${format}`, 100, 60))).toEqual({ format, width: 100, height: 60, orientation: 1 });
  });

  it('gives the size of GIF and BMP, and that of a JPEG behind its EXIF', async () => {
    const gif = new Uint8Array([...new TextEncoder().encode('GIF89a'), 44, 1, 200, 0]);
    expect(imageHeader(gif)).toEqual({ format: 'gif', width: 300, height: 200, orientation: 1 });
    const bmp = new Uint8Array(30);
    bmp.set([0x42, 0x4d]);
    new DataView(bmp.buffer).setInt32(18, 40, true);
    new DataView(bmp.buffer).setInt32(22, -30, true);
    expect(imageHeader(bmp)).toEqual({ format: 'bmp', width: 40, height: 30, orientation: 1 });
    expect(imageHeader(withOrientation(await make('image/jpeg', 80, 40), 6))).toEqual({
      format: 'jpeg',
      width: 80,
      height: 40,
      orientation: 6,
    });
  });

  it('never fails on any bytes', () => {
    const starts = [[0x89, 0x50, 0x4e, 0x47], [0xff, 0xd8], [0x47, 0x49, 0x46, 0x38], [0x42, 0x4d], [0x52, 0x49, 0x46, 0x46], []];
    fc.assert(
      fc.property(fc.constantFrom(...starts), fc.uint8Array({ maxLength: 200 }), (start, rest) => {
        imageHeader(new Uint8Array([...start, ...rest]));
      }),
    );
  });
});
