/** Losses, matching and gradients of whole criteria against PyTorch's. */
import { describe, expect, it } from 'vitest';
import { type DenoisingLayout, denoisingLayout } from '../../src/training/denoising.ts';
import { mostTargets } from '../../src/training/targets.ts';
import { page } from '../setup/gpu.ts';
import type { CriterionAnswer, CriterionCase } from './criterion.page.ts';
import { distance, fixture, type GoldenCase, targetsOf, tolerance } from './fixtures.ts';

const run = (given: CriterionCase) => page.call<CriterionAnswer>('criterion', given);
const golden = await fixture('loss');

/** final, aux0, enc0, dn0 to the official endings. */
const suffixOf = (set: string) => (set === 'final' ? '' : `_${set.replace(/(\d)/, '_$1')}`);

function setNames({ inputs }: GoldenCase): string[] {
  return inputs.filter((name) => name.endsWith('_logits')).map((name) => name.slice(0, -7));
}

function caseOf(test: GoldenCase, maxTargets: number, capacity = 0): CriterionCase {
  const { name, attrs } = test;
  const batch = targetsOf(golden, `${name}/target/%/`);
  const most = mostTargets(batch);
  const groups: number = attrs.dn_group;
  const denoising: DenoisingLayout = { groups, targets: most, count: 2 * most * groups, empty: false };
  const sets = setNames(test).map((set) => {
    const noisy = set.startsWith('dn');
    const queries = golden.shape(`${name}/in/${set}_boxes`)[1];
    const pad = (values: Float32Array, columns: number) =>
      noisy && capacity > queries ? padded(values, 2, queries, capacity, columns) : values;
    return {
      suffix: suffixOf(set),
      queries: noisy && capacity > queries ? capacity : queries,
      denoising: noisy,
      logits: pad(golden.values(`${name}/in/${set}_logits`), 5),
      boxes: pad(golden.values(`${name}/in/${set}_boxes`), 4),
    };
  });
  const classification = attrs.losses[0];
  return { options: { classification, classes: 5, maxTargets, alpha: attrs.alpha, gamma: attrs.gamma }, batch, denoising, sets };
}

/** Rows behind each image's own. */
function padded(values: Float32Array, images: number, rows: number, capacity: number, columns: number): Float32Array {
  const out = new Float32Array(images * capacity * columns).fill(0.25);
  for (let n = 0; n < images; n++) out.set(values.subarray(n * rows * columns, (n + 1) * rows * columns), n * capacity * columns);
  return out;
}

/** [query, target] of a set, by query. */
function pairsOf(answer: CriterionAnswer, given: CriterionCase, set: number, image: number): [number, number][] {
  const rows = given.sets.reduce((sum, { queries }) => sum + queries, 0);
  const start = image * rows + given.sets.slice(0, set).reduce((sum, { queries }) => sum + queries, 0);
  const { maxTargets } = given.options;
  return [...answer.match.subarray(start, start + given.sets[set].queries)].flatMap((line, query): [number, number][] =>
    line < maxTargets ? [[query, line]] : [],
  );
}

describe('PyTorch', () => {
  const cases = golden.cases.filter(({ op }) => op === 'criterion');
  it.each(cases.flatMap((test) => [true, false].map((plain) => ({ name: test.name, test, plain }))))(
    '$name, plain $plain',
    async ({ test, plain }) => {
      const given = caseOf(test, plain ? 7 : 11);
      const answer = await run({ ...given, plain });
      expect(Object.keys(answer.terms).sort()).toEqual(Object.keys(test.terms!).sort());
      for (const [term, expected] of Object.entries(test.terms!)) {
        expect(Math.abs(answer.terms[term] - expected), term).toBeLessThanOrEqual(2e-6 * Math.abs(expected) + 1e-7);
      }
      const loss = golden.values(`${test.name}/out/loss`);
      expect(Math.abs(answer.loss - loss[0])).toBeLessThanOrEqual(tolerance(test, 'out/loss', loss));
      const scale = golden.values(`${test.name}/gout/loss`)[0];
      setNames(test).forEach((set, i) => {
        for (const kind of ['logits', 'boxes'] as const) {
          const expected = golden.values(`${test.name}/grad/${set}_${kind}`);
          const found = answer.gradients[i][kind].map((v) => v * scale);
          expect(distance(found, expected), `${set} ${kind}`).toBeLessThanOrEqual(tolerance(test, `grad/${set}_${kind}`, expected));
        }
        if (set.startsWith('dn')) return;
        for (const image of [0, 1]) {
          const at = `${test.name}/match/${set}/${image}/`;
          const targets = golden.values(`${at}tgt`);
          const pairs = [...golden.values(`${at}src`)].map((query, k): [number, number] => [query, targets[k]]);
          expect(pairsOf(answer, given, i, image)).toEqual(pairs.sort((a, b) => a[0] - b[0]));
        }
      });
    },
  );
});

describe('whole training steps', () => {
  it.each(['train-tiny-v1-frozen-A', 'train-odd-v2-frozen-B', 'train-tiny-v1-bntrain-C', 'train-odd-v2-bntrain-C'])('%s', async (name) => {
    const file = await fixture(name);
    const { config, losses_f64 } = file.info;
    const batch = targetsOf(file, 'target.%.');
    const denoising = denoisingLayout({ version: config.v, denoising: config.dn }, mostTargets(batch));
    const names = file.names.filter((n) => n.endsWith('pred_logits')).map((n) => n.slice(0, -'.pred_logits'.length));
    const outputs = names.sort((a, b) => Number(a.startsWith('dn_')) - Number(b.startsWith('dn_')));
    const sets = outputs.map((output) => {
      const suffix = output === 'out' ? '' : `_${output.replace('_aux_outputs.', '_').replace('aux_outputs.', 'aux_')}`;
      const noisy = output.startsWith('dn_');
      const [logits, boxes] = ['logits', 'boxes'].map((kind) => file.values(`${output}.pred_${kind}`));
      return { suffix, queries: file.shape(`${output}.pred_boxes`)[1], denoising: noisy, logits, boxes };
    });
    const given: CriterionCase = { options: { classification: 'vfl', classes: config.classes, maxTargets: 8 }, batch, denoising, sets };
    const answer = await run(given);
    expect(Object.keys(answer.terms).sort()).toEqual(Object.keys(losses_f64).sort());
    for (const [term, expected] of Object.entries<number>(losses_f64)) {
      // The outputs are PyTorch's float32 ones: the golden files' gate for loss terms.
      expect(Math.abs(answer.terms[term] - expected), term).toBeLessThanOrEqual(
        (name.includes('frozen') ? 1e-5 : 2e-4) * Math.abs(expected) + 1e-7,
      );
    }
    sets.forEach(({ suffix, denoising: noisy }, i) => {
      if (noisy) return;
      const which = suffix === '' ? 'final' : suffix.slice(1);
      for (const image of [0, 1]) {
        const targets = file.values(`match.${which}.${image}.tgt`);
        const expected = [...file.values(`match.${which}.${image}.src`)].map((query, k) => [query, targets[k]]);
        const found = pairsOf(answer, given, i, image);
        expect(found.map(([query]) => query)).toEqual(expected.map(([query]) => query).sort((a, b) => a - b));
        // Batch B's second image has two identical targets: which of its two queries gets which is free.
        if (!name.endsWith('-B')) expect(found).toEqual(expected.sort((a, b) => a[0] - b[0]));
      }
    });
  });
});

describe('static shapes', () => {
  const test = golden.cases.find(({ name }) => name === 'criterion_v1')!;

  it('denoising queries without a part, and room for more targets, change nothing', async () => {
    const [plain, roomy] = [await run(caseOf(test, 3)), await run(caseOf(test, 20, 17))];
    for (const [term, value] of Object.entries(plain.terms)) expect(Math.abs(roomy.terms[term] / value - 1), term).toBeLessThan(5e-7);
    const dn = plain.gradients.length - 1;
    for (const [kind, columns] of [
      ['logits', 5],
      ['boxes', 4],
    ] as const) {
      const bare = plain.gradients[dn][kind];
      const rest = padded(bare, 2, 12, 17, columns);
      const found = roomy.gradients[dn][kind];
      found.forEach((v, i) => {
        if (Math.floor(i / columns) % 17 < 12) expect(v).toBe(rest[i]);
        else expect(Math.abs(v)).toBe(0);
      });
    }
  });

  it('a step in two parts has the gradients of the whole', async () => {
    const given = caseOf(test, 3);
    const whole = await run(given);
    for (const image of [0, 1]) {
      const half = (values: Float32Array) => values.slice((image * values.length) / 2, ((image + 1) * values.length) / 2);
      const part = await run({
        ...given,
        batch: [given.batch[image]],
        step: given.batch,
        sets: given.sets.map((set) => ({ ...set, logits: half(set.logits), boxes: half(set.boxes) })),
      });
      part.gradients.forEach(({ logits, boxes }, i) => {
        expect(logits).toEqual(half(whole.gradients[i].logits));
        expect(boxes).toEqual(half(whole.gradients[i].boxes));
      });
    }
  });
});
