/**
 * Starting values of parameters: of what a checkpoint does not bring (heads for other classes, an Association Encoder added to a
 * trained detector), and of whole models. RT-DETR's and the reconstruction's own rules; numbers follow from name and seed alone.
 */

/** Uniform numbers in [0, 1): FNV-1a of the key, then mulberry32. */
function generator(key: string): () => number {
  let state = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(key)) state = Math.imul(state ^ byte, 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Fills a tensor from random numbers; `fanIn` and `fanOut` as PyTorch counts them. */
type Fill = (random: () => number, fanIn: number, fanOut: number) => number;

const constant =
  (value: number): Fill =>
  () =>
    value;
/** Box and Muller; 1 - u keeps the logarithm finite. */
const normal =
  (deviation: (fanOut: number) => number): Fill =>
  (random, _, fanOut) =>
    deviation(fanOut) * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
/** PyTorch's default of linear and convolution weights. */
const uniform: Fill = (random, fanIn) => (2 * random() - 1) / Math.sqrt(fanIn);

const xavier: Fill = (random, fanIn, fanOut) => (2 * random() - 1) * Math.sqrt(6 / (fanIn + fanOut));

/** Chance of an object before anything is learnt: sigmoid(bias) = 0.01. */
const PRIOR = -Math.log(99);

/** The first that fits decides. */
const RULES: readonly { pattern: RegExp; dims?: (n: number) => boolean; fill: Fill }[] = [
  { pattern: /(^|\.)gate$/, fill: constant(0) },
  { pattern: /running_var$/, fill: constant(1) },
  { pattern: /score_head(\.\d+)?\.bias$/, fill: constant(PRIOR) },
  { pattern: /weight$/, dims: (n) => n === 1, fill: constant(1) },
  // A box starts as its anchor, and all sampling points of a head count the same.
  { pattern: /bbox_head(\.\d+)?\.layers\.2\.weight$|\.(sampling_offsets|attention_weights)\.weight$/, fill: constant(0) },
  { pattern: /./, dims: (n) => n < 2, fill: constant(0) },
  { pattern: /\.in_proj_weight$|enc_output\.(0|proj)\.weight$|query_pos_head\..*weight$|\.(value|output)_proj\.weight$/, fill: xavier },
  { pattern: /class_embed\.weight$/, fill: normal(() => 1) },
  { pattern: /\.rel_pos_bias$/, fill: normal(() => 0.02) },
  { pattern: /^association_encoder\.bam\..*\.channel\.fc/, fill: uniform },
  { pattern: /^association_encoder\.bam\./, fill: normal((fanOut) => Math.sqrt(2 / fanOut)) },
  { pattern: /^association_encoder\./, dims: (n) => n === 2, fill: normal(() => 0.02) },
  { pattern: /./, fill: uniform },
];

/** Values of a floating-point entry of the state dictionary, row-major. */
export function initialValues(name: string, shape: readonly number[], seed = 0): Float32Array {
  const size = shape.reduce((a, b) => a * b, 1);
  const area = shape.slice(2).reduce((a, b) => a * b, 1);
  const random = generator(`${seed}/${name}`);
  const { fill } = RULES.find(({ pattern, dims }) => pattern.test(name) && (dims?.(shape.length) ?? true))!;
  const values = Float32Array.from({ length: size }, () => fill(random, shape[1]! * area, shape[0]! * area));
  // The row of "no class" takes no part in training and stays zero.
  if (/denoising_class_embed\.weight$/.test(name)) values.fill(0, size - shape[1]!);
  return values;
}
