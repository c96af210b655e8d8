/** RT-DETR's multi-scale training: the batch, resized to its size, is brought to a drawn square size by taking nearest pixels. */

/** Height and width: the image is resized to `resized`, of which nearest pixels make `output`. */
export interface OutputSize {
  readonly resized: readonly [number, number];
  readonly output: readonly [number, number];
}

/** RT-DETRv2's `generate_scales`: steps of 32 from 3/4 to 5/4 of a side, the side itself three times. 640 gives 480, 512, ..., 800. */
export function multiScaleSizes(side: number): number[] {
  const least = Math.max(32, Math.trunc((side * 0.75) / 32) * 32);
  const most = Math.trunc((side * 1.25) / 32) * 32;
  const steps = Math.floor((side - least) / 32);
  const below = Array.from({ length: steps }, (_, i) => least + 32 * i);
  const above = Array.from({ length: steps }, (_, i) => most - 32 * i).reverse();
  return [...below, side, side, side, ...above];
}

/** PyTorch's interpolate(mode='nearest') along one axis: which input each output is, in its float32 arithmetic. */
export function nearestIndices(input: number, output: number): Int32Array {
  const scale = Math.fround(input / output);
  return Int32Array.from({ length: output }, (_, i) => Math.min(Math.floor(Math.fround(i * scale)), input - 1));
}
