/** What no golden file has: softmax classification and its matching, against float64. */
import { expect, it } from 'vitest';
import { page } from '../setup/gpu.ts';
import { random } from '../setup/random.ts';
import type { CriterionAnswer, CriterionCase } from './criterion.page.ts';

const [queries, classes, noObject] = [6, 4, 0.1];
const r = random(8);
const boxes = (n: number) =>
  Float32Array.from({ length: 4 * n }, (_, i) => (i % 4 < 2 ? 0.3 + 0.4 * r.uniform() : 0.1 + 0.3 * r.uniform()));
const batch = [
  { boxes: boxes(3), labels: [1, 3, 0] },
  { boxes: boxes(1), labels: [2] },
];
const matcher = { classes: 1, boxes: 5, giou: 2, alpha: 0.25, gamma: 2, softmax: true };
const given: CriterionCase = {
  options: { classification: 'labels', classes, maxTargets: 5, noObject, matcher },
  batch,
  denoising: { groups: 0, targets: 0, count: 0, empty: false },
  sets: [{ suffix: '', queries, logits: r.array(2 * queries * (classes + 1), 2), boxes: boxes(2 * queries) }],
};

function logSoftmax(row: ArrayLike<number>): number[] {
  const all = Array.from(row);
  const largest = Math.max(...all);
  const total = Math.log(all.reduce((sum, x) => sum + Math.exp(x - largest), 0)) + largest;
  return all.map((x) => x - total);
}

it('softmax with a no-object class is the weighted mean over all queries', async () => {
  const answer = await page.call<CriterionAnswer>('criterion', given);
  const { logits } = given.sets[0];
  let [sum, weights] = [0, 0];
  const rows = Array.from(answer.match, (line, row) => {
    const image = Math.floor(row / queries);
    const label = line < 5 ? batch[image].labels[line] : classes;
    const weight = label === classes ? noObject : 1;
    const logs = logSoftmax(logits.subarray(row * (classes + 1), (row + 1) * (classes + 1)));
    sum -= weight * logs[label];
    weights += weight;
    return { label, weight, logs };
  });
  expect(rows.filter(({ label }) => label < classes).length).toBe(4);
  expect(Math.abs(answer.terms.loss_ce - sum / weights)).toBeLessThan(2e-6);
  rows.forEach(({ label, weight, logs }, row) => {
    logs.forEach((log, c) => {
      const expected = ((Math.exp(log) - (c === label ? 1 : 0)) * weight) / weights;
      expect(Math.abs(answer.gradients[0].logits[row * (classes + 1) + c] - expected)).toBeLessThan(1e-6);
    });
  });
});

it('the matching may go by the probability of the class', async () => {
  const [withIt, without] = await Promise.all(
    [1, 0].map((weight) =>
      page.call<CriterionAnswer>('criterion', { ...given, options: { ...given.options, matcher: { ...matcher, classes: weight } } }),
    ),
  );
  const { logits } = given.sets[0];
  batch.forEach(({ labels }, image) => {
    for (let q = 0; q < queries; q++) {
      const row = image * queries + q;
      const logs = logSoftmax(logits.subarray(row * (classes + 1), (row + 1) * (classes + 1)));
      labels.forEach((label, t) => {
        const share = withIt.costs[row * 5 + t] - without.costs[row * 5 + t];
        expect(Math.abs(share + Math.exp(logs[label]))).toBeLessThan(3e-6);
      });
    }
  });
});

it('sums sets of hundreds of rows', async () => {
  const count = 333;
  const options = { classification: 'bce', classes, maxTargets: 5 } as const;
  const logits = r.array(2 * count * classes, 2);
  const answer = await page.call<CriterionAnswer>('criterion', {
    ...given,
    options,
    sets: [{ suffix: '', queries: count, logits, boxes: boxes(2 * count) }],
  });
  const sum = logits.reduce((total, x, i) => {
    const row = Math.floor(i / classes);
    const line = answer.match[row];
    const hot = line < 5 && batch[Math.floor(row / count)].labels[line] === i % classes ? 1 : 0;
    return total + Math.max(x, 0) - x * hot + Math.log1p(Math.exp(-Math.abs(x)));
  }, 0);
  expect(Math.abs(answer.terms.loss_bce / (sum / 4) - 1)).toBeLessThan(1e-6);
});
