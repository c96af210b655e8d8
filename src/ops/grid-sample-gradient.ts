/** Gradients of grid sampling: deformable sampling with one head, level and point, whose coordinates run from 0 to 1. */
import type { GradientRule } from '../graph/autodiff.ts';
import { sampleGradients } from './deformable-gradient.ts';
import { scale } from './pointwise.ts';

export const gridSampleGradient: GradientRule<object> = ({ inputs: [x, grid] }, [gradient], wanted) => {
  const [n, height, width, channels] = x.shape;
  const rows = grid.rows;
  const ones = x.graph.parameter({
    key: `ones ${n} x ${rows}`,
    shape: [n, rows, 1],
    type: 'f32',
    sources: [],
    build: () => new Float32Array(n * rows).fill(1),
  });
  const locations = scale(grid, 0.5, 0.5).viewAs([n, rows, 2]);
  const cells = x.viewAs([n, height * width, channels]);
  const [dx, dLocations] = sampleGradients(cells, locations, ones, gradient!.viewAs([n, rows, channels]), [height, width], wanted);
  return [dx?.viewAs(x.shape) ?? null, dLocations && scale(dLocations, 0.5).viewAs(grid.shape)];
};
