/**
 * Convolutions and linear layers as the kernels want them. An `Affine` is one weight and one bias, each a recipe that is
 * worked out in float64 from checkpoint tensors when a Program is built: folding a batch norm, adding RepVGG's branches and
 * joining several layers into one matrix product are steps of the recipe and cost nothing at run time.
 */
import type { Graph, Tensor } from '../graph/graph.ts';

type Get = (name: string) => Float32Array;

/** Numbers computed from checkpoint tensors. */
export interface Recipe {
  readonly sources: readonly string[];
  values(get: Get): Float64Array;
}

export interface Affine {
  /** Identifies the numbers: Programs of several sizes share parameters of equal keys. */
  readonly key: string;
  readonly outputs: number;
  /** Input channels of one group. */
  readonly inputs: number;
  readonly kernel: readonly [number, number];
  readonly groups: number;
  /** PyTorch's order: [outputs, inputs, height, width]. */
  readonly weight: Recipe;
  readonly bias: Recipe | null;
}

export type AffineShape = Pick<Affine, 'outputs' | 'inputs' | 'kernel' | 'groups'>;

const read = (name: string): Recipe => ({ sources: [name], values: (get) => Float64Array.from(get(name)) });

/** A layer as the checkpoint has it. */
export function plain(weight: string, bias: string | null, shape: AffineShape): Affine {
  return { ...shape, key: weight, weight: read(weight), bias: bias === null ? null : read(bias) };
}

/** weight / sqrt(running_var + eps): what a batch norm multiplies with at inference. */
export function normScale(norm: string, eps = 1e-5): Recipe {
  const [weight, variance] = [`${norm}.weight`, `${norm}.running_var`];
  return {
    sources: [weight, variance],
    values: (get) => {
      const v = get(variance);
      return Float64Array.from(get(weight), (w, i) => w / Math.sqrt(v[i] + eps));
    },
  };
}

/** bias + scale * (layerBias - running_mean): what it adds behind a layer with that bias. */
export function normShift(norm: string, layerBias: Recipe | null = null, eps = 1e-5): Recipe {
  const scale = normScale(norm, eps);
  const [shift, mean] = [`${norm}.bias`, `${norm}.running_mean`];
  return {
    sources: [...(layerBias?.sources ?? []), ...scale.sources, shift, mean],
    values: (get) => {
      const [b, s, t, m] = [layerBias?.values(get), scale.values(get), get(shift), get(mean)];
      return s.map((factor, i) => t[i] + factor * ((b?.[i] ?? 0) - m[i]));
    },
  };
}

/** Batch norm behind a layer, folded: W' = scale * W, b' = bias + scale * (b - running_mean). */
export function foldNorm(layer: Affine, norm: string, eps = 1e-5): Affine {
  const scale = normScale(norm, eps);
  const { weight, bias } = layer;
  return {
    ...layer,
    key: `${layer.key} folded`,
    weight: {
      sources: [...weight.sources, ...scale.sources],
      values: (get) => {
        const values = weight.values(get);
        const s = scale.values(get);
        const row = values.length / s.length;
        for (let i = 0; i < values.length; i++) values[i] *= s[Math.floor(i / row)];
        return values;
      },
    },
    bias: normShift(norm, bias, eps),
  };
}

/** The sum of two layers with equal inputs, the smaller kernel centred in the larger: RepVGG's deploy form. */
export function addBranches(large: Affine, small: Affine): Affine {
  const [height, width] = large.kernel;
  const [h, w] = small.kernel;
  const [top, left] = [(height - h) / 2, (width - w) / 2];
  const sum = (a: Recipe, b: Recipe, join: (a: Float64Array, b: Float64Array) => Float64Array): Recipe => ({
    sources: [...a.sources, ...b.sources],
    values: (get) => join(a.values(get), b.values(get)),
  });
  return {
    ...large,
    key: `${large.key} + ${small.key}`,
    weight: sum(large.weight, small.weight, (a, b) => {
      for (let i = 0; i < b.length; i++) {
        const [map, y, x] = [Math.floor(i / (h * w)), Math.floor((i % (h * w)) / w), i % w];
        a[(map * height + top + y) * width + left + x] += b[i];
      }
      return a;
    }),
    bias: sum(large.bias!, small.bias!, (a, b) => a.map((value, i) => value + b[i])),
  };
}

/** Several layers with the same input as one, output channels one behind the other. */
export function stackOutputs(layers: readonly Affine[]): Affine {
  const join = (parts: readonly (Recipe | null)[]): Recipe | null =>
    parts.every((p) => p === null)
      ? null
      : {
          sources: parts.flatMap((p) => p?.sources ?? []),
          values: (get) => {
            const all = parts.map((p, i) => p?.values(get) ?? new Float64Array(layers[i].outputs));
            const out = new Float64Array(all.reduce((n, a) => n + a.length, 0));
            let at = 0;
            for (const part of all) {
              out.set(part, at);
              at += part.length;
            }
            return out;
          },
        };
  return {
    ...layers[0],
    outputs: layers.reduce((n, { outputs }) => n + outputs, 0),
    key: layers.map(({ key }) => key).join(' | '),
    weight: join(layers.map(({ weight }) => weight))!,
    bias: join(layers.map(({ bias }) => bias)),
  };
}

/** Output channels [start, start + length) of a layer. */
export function sliceOutputs(layer: Affine, start: number, length: number): Affine {
  const cut = (recipe: Recipe, row: number): Recipe => ({
    sources: recipe.sources,
    values: (get) => recipe.values(get).slice(start * row, (start + length) * row),
  });
  const row = layer.inputs * layer.kernel[0] * layer.kernel[1];
  return {
    ...layer,
    outputs: length,
    key: `${layer.key} [${start}:${start + length}]`,
    weight: cut(layer.weight, row),
    bias: layer.bias && cut(layer.bias, 1),
  };
}

const isDepthwise = ({ groups, inputs }: Affine): boolean => groups > 1 && inputs === 1;

/**
 * The place of each of PyTorch's output channels among ours; null where they agree. Depthwise layers with several maps a channel:
 * map c * m + j becomes output channel j * channels + c.
 */
export function channelOrder(layer: Affine): ((map: number) => number) | null {
  const { groups, outputs } = layer;
  const m = outputs / groups;
  if (!isDepthwise(layer) || m === 1) return null;
  return (map) => (map % m) * groups + Math.floor(map / m);
}

const same = (map: number): number => map;

/** [kh * kw, inputs, outputs]; depthwise [kh * kw, maps a channel, channels]. */
export function weightTensor(graph: Graph, layer: Affine): Tensor {
  const taps = layer.kernel[0] * layer.kernel[1];
  const { inputs, outputs, groups } = layer;
  const place = channelOrder(layer) ?? same;
  return graph.parameter({
    key: `${layer.key} weight`,
    shape: isDepthwise(layer) ? [taps, outputs / groups, groups] : [taps, inputs, outputs],
    type: 'f32',
    sources: layer.weight.sources,
    build: (get) => {
      const values = layer.weight.values(get);
      const out = new Float32Array(values.length);
      for (let o = 0, from = 0; o < outputs; o++) {
        const to = place(o);
        for (let i = 0; i < inputs; i++) {
          for (let t = 0; t < taps; t++, from++) out[(t * inputs + i) * outputs + to] = values[from];
        }
      }
      return out;
    },
  });
}

/** [outputs], or null where the layer has none. */
export function biasTensor(graph: Graph, layer: Affine): Tensor | null {
  const { bias, outputs } = layer;
  if (!bias) return null;
  const place = channelOrder(layer) ?? same;
  return graph.parameter({
    key: `${layer.key} bias`,
    shape: [outputs],
    type: 'f32',
    sources: bias.sources,
    build: (get) => {
      const out = new Float32Array(outputs);
      bias.values(get).forEach((value, map) => {
        out[place(map)] = value;
      });
      return out;
    },
  });
}

/** A checkpoint tensor as it is. */
export function tensorAsIs(graph: Graph, name: string, shape: readonly number[]): Tensor {
  return graph.parameter({ key: name, shape, type: 'f32', sources: [name], build: (get) => get(name) });
}

/** One number of the checkpoint that multiplies or shifts whole tensors. */
export function scalarTensor(graph: Graph, name: string): Tensor {
  return graph.parameter({
    key: `${name} scalar`,
    shape: [1, 1],
    type: 'f32',
    replicated: true,
    sources: [name],
    build: (get) => new Float32Array(4).fill(get(name)[0]),
  });
}
