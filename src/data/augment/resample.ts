/**
 * From the decoded bytes to the network's input: the frame's view of the image, resized as Pillow does (../../resize-table.ts, to
 * the last bit what the kernels of shaders/preprocess do), then v / 255. Canvas, crop and mirrored image are never made: taps
 * beyond the image read the canvas' black and add nothing, those of a mirrored frame are read backwards.
 */
import { PRECISION_BITS, resizeTable } from '../../resize-table.ts';
import type { Frame } from './frame.ts';
import { nearestIndices, type OutputSize } from './multi-scale.ts';

const HALF = 1 << (PRECISION_BITS - 1);
/** v / 255 in float32. */
const levels = Float32Array.from({ length: 256 }, (_, v) => v / 255);

/** RGB bytes, row by row. */
export interface RgbImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** What each output position of an axis reads of the image: `count` pixels from `first`, weights from `start`. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly start: Int32Array;
  readonly weights: Int32Array;
}

/** `sign` and `offset` map the image's coordinate to the frame's: sign * x + offset. */
function axisTaps(frame: number, image: number, sign: number, offset: number, resized: number, output: number): Taps {
  const { taps, data } = resizeTable(frame, resized);
  const pitch = taps + 2;
  const [first, count, start] = [new Int32Array(output), new Int32Array(output), new Int32Array(output)];
  const weights = new Int32Array(output * taps);
  const nearest = nearestIndices(resized, output);
  for (let x = 0; x < output; x++) {
    const at = nearest[x] * pitch;
    const length = data[at + 1];
    // The image's pixel that is the frame's pixel c.
    const pixel = (c: number) => (sign > 0 ? c - offset : offset - 1 - c);
    let [low, high] = [Infinity, -Infinity];
    const from = sign > 0 ? pixel(data[at]) : pixel(data[at] + length - 1);
    for (let t = 0; t < length; t++) {
      const weight = data[at + 2 + (sign > 0 ? t : length - 1 - t)];
      const p = from + t;
      if (weight === 0 || p < 0 || p >= image) continue;
      if (p < low) low = p;
      high = p;
      weights[x * taps + (p - low)] = weight;
    }
    first[x] = high < 0 ? 0 : low;
    count[x] = high < 0 ? 0 : high - low + 1;
    start[x] = x * taps;
  }
  return { first, count, start, weights };
}

/** Only very long sums of rounded weights can exceed a byte, but Pillow and the kernels cut off too. */
const clip8 = (sum: number): number => Math.min(sum >> PRECISION_BITS, 255);

/** Every row from `top` to `bottom` of the image in the new width, in bytes. */
function resampleColumns({ data, width }: RgbImage, { first, count, start, weights }: Taps, top: number, bottom: number): Uint8Array {
  const columns = first.length;
  const out = new Uint8Array((bottom - top) * columns * 3);
  let to = 0;
  for (let row = top; row < bottom; row++) {
    for (let x = 0; x < columns; x++, to += 3) {
      let from = (row * width + first[x]) * 3;
      let r = HALF;
      let g = HALF;
      let b = HALF;
      for (let t = start[x], end = t + count[x]; t < end; t++, from += 3) {
        const weight = weights[t];
        r += data[from] * weight;
        g += data[from + 1] * weight;
        b += data[from + 2] * weight;
      }
      out[to] = clip8(r);
      out[to + 1] = clip8(g);
      out[to + 2] = clip8(b);
    }
  }
  return out;
}

/**
 * The frame's view of the image in the wanted size, [height, width, 3] from 0 to 1. The frame has whole pixels of the image: moved
 * and mirrored, not scaled.
 */
export function resample(image: RgbImage, frame: Frame, { resized, output }: OutputSize): Float32Array {
  const [signX, , , , signY, , offsetX, offsetY] = frame.fromImage;
  const columns = axisTaps(frame.width, image.width, signX, offsetX, resized[1], output[1]);
  const rows = axisTaps(frame.height, image.height, signY, offsetY, resized[0], output[0]);
  let [top, bottom] = [image.height, 0];
  for (let y = 0; y < rows.first.length; y++) {
    if (rows.count[y] === 0) continue;
    top = Math.min(top, rows.first[y]);
    bottom = Math.max(bottom, rows.first[y] + rows.count[y]);
  }
  const pitch = columns.first.length * 3;
  const out = new Float32Array(rows.first.length * pitch);
  if (bottom <= top) return out;
  const narrow = resampleColumns(image, columns, top, bottom);
  const sums = new Int32Array(pitch);
  for (let y = 0; y < rows.first.length; y++) {
    sums.fill(HALF);
    for (let t = 0; t < rows.count[y]; t++) {
      const weight = rows.weights[rows.start[y] + t];
      const from = (rows.first[y] + t - top) * pitch;
      for (let i = 0; i < pitch; i++) sums[i] += narrow[from + i] * weight;
    }
    const to = y * pitch;
    for (let i = 0; i < pitch; i++) out[to + i] = levels[clip8(sums[i])];
  }
  return out;
}
