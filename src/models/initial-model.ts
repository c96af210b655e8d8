/** A whole model's starting values, for training from scratch: models.md §4.6 and PyTorch's defaults. */
import { makeAnchors } from './anchors.ts';
import type { ModelConfig } from './configs.ts';
import { initialValues } from './initial-values.ts';
import { modelParameters, STRIDES } from './rt-detr.ts';

export interface InitialModel {
  /** As in the state dictionary. */
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  /** Row-major values. */
  readFloat32(name: string): Promise<Float32Array>;
}

/** Points of a head lie on a ray of their own, 1, 2, ... steps out, alike in every level: [heads, levels, points, 2]. */
function samplingOffsets(heads: number, points: readonly number[]): Float32Array {
  const rays = Array.from({ length: heads }, (_, head) => {
    const angle = (2 * Math.PI * head) / heads;
    const ray = [Math.cos(angle), Math.sin(angle)];
    const longest = Math.max(...ray.map(Math.abs));
    return ray.map((c) => c / longest);
  });
  return Float32Array.from(
    rays.flatMap((ray) => points.flatMap((n) => Array.from({ length: n }, (_, i) => ray.map((c) => c * (i + 1))).flat())),
  );
}

/** What RT-DETRv2 stores though it follows from the configuration. */
function derived(name: string, { size, anchorEps, points }: ModelConfig): Float32Array | null {
  if (name.endsWith('.num_points_scale')) return Float32Array.from(points.flatMap((n) => Array<number>(n).fill(1 / n)));
  if (name !== 'decoder.anchors' && name !== 'decoder.valid_mask') return null;
  const { unactivated, valid } = makeAnchors(
    STRIDES.map((stride) => [size[0] / stride, size[1] / stride] as const),
    anchorEps,
  );
  return name === 'decoder.valid_mask' ? valid : unactivated.map((x, i) => (valid[i >> 2] ? x : Number.POSITIVE_INFINITY));
}

/** Starting values by name; the same for the same seed. @throws BackdropError E_MODEL_CONFIG */
export function initialModel(config: ModelConfig, seed = 0): InitialModel {
  const table = modelParameters(config);
  return {
    tensors: table,
    readFloat32: async (name) => {
      if (name.endsWith('.sampling_offsets.bias')) return samplingOffsets(config.heads, config.points);
      return derived(name, config) ?? initialValues(name, table.get(name)!.shape, seed);
    },
  };
}
