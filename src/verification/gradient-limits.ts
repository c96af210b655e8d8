/** How far a whole model's gradients may be from float64: measured by PyTorch's own distance, parameter by parameter. */
import type { TensorSource } from '../checkpoints/tensors.ts';
import { samplePositions } from './formula.ts';
import { readReference, type TrainingFile } from './golden.ts';
import type { TensorReport } from './report.ts';

/** Squares of error and of reference, of all parameters together. */
export interface GradientSum {
  error: number;
  norm: number;
}

function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return Math.sqrt(sum);
}

/**
 * |g - g64| against 20 |g32 - g64| + 1e-6 of the whole gradient's norm; 1e-5 with trained norms, which magnify rounding (PyTorch's own
 * errors are 20 to 100 times those with frozen ones) until one ReLU of another sign shows in a parameter where PyTorch's run has none.
 * Where the file has samples only, both errors are those of the samples, scaled to the whole parameter.
 * @param ours null where the parameter got no gradient
 * @param sum null for a gradient that is zero in exact arithmetic: nothing but rounding, which belongs to no sum
 */
export async function compareGradient(
  source: TensorSource,
  name: string,
  ours: Float32Array | null,
  recorded: { l2: number; rel_l2: number },
  total: number,
  mode: TrainingFile['mode'],
  sum: GradientSum | null,
): Promise<TensorReport> {
  const sampled = !source.tensors.has(`grad/${name}`);
  const { values, against } = await readReference(source, sampled ? `grad/${name}.val` : `grad/${name}`);
  const torch = recorded.rel_l2 * recorded.l2;
  // A float32 reference has an error of its own.
  const limit = (against === 'float32' ? 21 : 20) * torch + (mode === 'frozen' ? 1e-6 : 1e-5) * total;
  if (!ours || ours.length < values.length) {
    const note = ours ? `${ours.length} numbers` : 'no gradient arrives here';
    return { name, metric: 'L2', error: Number.POSITIVE_INFINITY, torch, limit, ok: false, against, note };
  }
  const positions = samplePositions(ours.length, values.length);
  const difference = Float64Array.from(values, (value, i) => ours[positions[i]] - value);
  const scale = ours.length / values.length;
  const error = norm(difference) * Math.sqrt(scale);
  if (sum) {
    sum.error += error * error;
    sum.norm += norm(values) ** 2 * scale;
  }
  return { name, metric: 'L2', error, torch, limit, ok: error <= limit, against };
}

/** Of all parameters together, relative. */
export function compareTotal({ error, norm: reference }: GradientSum, mode: TrainingFile['mode'], torch: number): TensorReport {
  const relative = Math.sqrt(error / reference);
  const limit = mode === 'frozen' ? 1e-5 : 1e-3;
  return { name: 'all parameters', metric: 'rel L2', error: relative, torch, limit, ok: relative <= limit, against: 'float64' };
}
