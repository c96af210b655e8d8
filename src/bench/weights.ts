/** Weights for models whose speed is measured: the formula that verification uses, computed when asked for. */
import type { ParameterSource } from '../graph/parameters.ts';
import type { ParameterTable } from '../nn/parameters.ts';
import { formulaTensor, isComputed } from '../verification/formula.ts';

/** The state dictionary's tensor, as a function. */
export function benchTensor(table: ParameterTable): (name: string) => Float32Array {
  return (name) => {
    const info = table.get(name);
    if (!info || isComputed(name)) throw new RangeError(`the model has no parameter ${name}`);
    // A single number (a gate) has no rule; ones keep what it multiplies.
    return info.shape.length === 0 ? Float32Array.of(1) : formulaTensor(name, info.shape, 'bench');
  };
}

export function benchSource(table: ParameterTable): ParameterSource {
  const get = benchTensor(table);
  return { readFloat32: async (name) => get(name) };
}

/** An image with some structure, [size, size, 3] in 0..1. */
export function benchImage(size: number): Float32Array {
  return new Float32Array(size * size * 3).map((_, i) => {
    const [pixel, channel] = [Math.floor(i / 3), i % 3];
    const [x, y] = [(pixel % size) / size, Math.floor(pixel / size) / size];
    return 0.5 + 0.25 * Math.sin(17 * x + 3 * channel) + 0.2 * Math.cos(23 * y * (1 + x));
  });
}
