/** Gradients of matrix products of two activations. */
import type { GradientRule } from '../graph/autodiff.ts';
import type { Tensor } from '../graph/graph.ts';
import { conv2dDataGradient, conv2dWeightGradient } from './conv2d-gradient.ts';
import { flat } from './convolution.ts';
import { batchPair, type MatmulOptions, matmul } from './matmul.ts';
import { sumToShape } from './pointwise.ts';
import { reshape } from './reshape.ts';

/** The sum of an operand's gradient over the batch dimensions along which the operand was repeated. */
function overRepeats(gradient: Tensor, shape: readonly number[]): Tensor {
  const [has, wants] = [gradient.shape, shape].map((s) => batchPair(s.slice(0, -2)));
  const matrix = shape.slice(-2).reduce((a, b) => a * b, 1);
  let sum = gradient;
  if (wants[1] < has[1]) sum = sumToShape(reshape(sum, [has[0], has[1], matrix]), [has[0], 1, matrix]);
  if (wants[0] < has[0]) sum = sumToShape(reshape(sum, [1, has[0], wants[1] * matrix]), [1, 1, wants[1] * matrix]);
  return reshape(sum, shape);
}

/** y = A B, so dA = G B^T and dB = A^T G; of an operand that is taken as its transpose, the transpose of that. */
export const matmulGradient: GradientRule<Required<MatmulOptions>> = ({ inputs: [a, b], attributes }, [gradient], wanted) => {
  const g = gradient!;
  const { transposeA, transposeB } = attributes;
  // One matrix b for every matrix of a: a linear layer.
  if (b.shape.length === 2 && !transposeA && !transposeB) {
    const w = b.viewAs([1, ...b.shape]);
    return [
      wanted[0] ? conv2dDataGradient(g, w, a.shape, flat) : null,
      wanted[1] ? conv2dWeightGradient(a, g, w.shape, flat).viewAs(b.shape) : null,
      null,
    ];
  }
  const da = () => (transposeA ? matmul(b, g, { transposeA: transposeB, transposeB: true }) : matmul(g, b, { transposeB: !transposeB }));
  const db = () => (transposeB ? matmul(g, a, { transposeA: true, transposeB: transposeA }) : matmul(a, g, { transposeA: !transposeA }));
  return [wanted[0] ? overRepeats(da(), a.shape) : null, wanted[1] ? overRepeats(db(), b.shape) : null, null];
};
