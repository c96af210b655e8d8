/**
 * Where the Background Attention Module sees a region: Grad-CAM of its classifier at F_b. Behind a mean and a linear layer the gradient
 * of a class's logit is the same number everywhere in a channel, so the heatmap is the head applied place by place, and no backward
 * pass is needed. Normalisation and colours as pytorch-grad-cam's.
 */

/** [height, width, channels], or [height, width] with one channel. */
export interface FeatureMap {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly data: ArrayLike<number>;
}

/** The dropped classifier of pre-training. */
export interface RegionHead {
  /** [classes, channels] */
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
}

export interface Heatmap {
  readonly height: number;
  readonly width: number;
  /** 0..1 */
  readonly data: Float64Array<ArrayBuffer>;
}

const EPSILON = 1e-7;

/** Negative values are nothing; then the range is stretched to 0..1. */
export function stretched(values: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> {
  const cut = values.map((v) => Math.max(v, 0));
  const low = cut.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const high = cut.reduce((a, b) => Math.max(a, b), 0);
  return cut.map((v) => (v - low) / (high - low + EPSILON));
}

/** The classifier's logits: mean over the map, then the head. */
export function regionLogits({ height, width, channels, data }: FeatureMap, { weight, bias }: RegionHead): Float64Array<ArrayBuffer> {
  const mean = new Float64Array(channels);
  for (let i = 0; i < height * width * channels; i++) mean[i % channels] += data[i] / (height * width);
  return Float64Array.from(bias, (b, k) => mean.reduce((sum, v, c) => sum + v * weight[k * channels + c], b));
}

/** relu(sum over c of W[k, c] / (H W) F_b[c]) at every place, stretched to 0..1. */
export function classHeatmap({ height, width, channels, data }: FeatureMap, { weight }: RegionHead, k: number): Heatmap {
  const cam = Float64Array.from({ length: height * width }, (_, place) => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += (weight[k * channels + c] / (height * width)) * data[place * channels + c];
    return sum;
  });
  return { height, width, data: stretched(cam) };
}

/** Bilinear, with pixels' centres at halves, and stretched to 0..1 again. */
export function resizeHeatmap(map: Heatmap, height: number, width: number): Heatmap {
  const taps = (out: number, size: number, length: number) => {
    const at = Math.max(0, ((out + 0.5) * length) / size - 0.5);
    const low = Math.min(Math.floor(at), length - 1);
    return { low, high: Math.min(low + 1, length - 1), part: at - low };
  };
  const data = Float64Array.from({ length: height * width }, (_, i) => {
    const y = taps(Math.floor(i / width), height, map.height);
    const x = taps(i % width, width, map.width);
    const line = (row: number) => map.data[row * map.width + x.low] * (1 - x.part) + map.data[row * map.width + x.high] * x.part;
    return line(y.low) * (1 - y.part) + line(y.high) * y.part;
  });
  return { height, width, data: stretched(data) };
}

/** The largest heatmap value over the classes below `classes` that are present: sigmoid(logit) above a half. */
export function backgroundHeatmap(map: FeatureMap, head: RegionHead, height: number, width: number, classes = 7): Heatmap {
  const data = new Float64Array(height * width);
  regionLogits(map, head).forEach((logit, k) => {
    if (k >= classes || logit <= 0) return;
    resizeHeatmap(classHeatmap(map, head, k), height, width).data.forEach((v, i) => {
      data[i] = Math.max(data[i], v);
    });
  });
  return { height, width, data };
}

/** Red, green and blue of the JET map at v in 0..1. */
const jet = (v: number): number[] => [3, 2, 1].map((peak) => Math.min(Math.max(1.5 - Math.abs(4 * v - peak), 0), 1));

/** Half heatmap, half picture, divided by the largest value: [height, width, RGB] in 0..1. `rgb` in 0..1, in the heatmap's size. */
export function overlayHeatmap({ data }: Heatmap, rgb: ArrayLike<number>): Float64Array<ArrayBuffer> {
  const mixed = Float64Array.from({ length: 3 * data.length }, (_, i) => 0.5 * jet(data[Math.floor(i / 3)])[i % 3] + 0.5 * rgb[i]);
  const most = mixed.reduce((a, b) => Math.max(a, b), 0);
  return mixed.map((v) => v / most);
}
