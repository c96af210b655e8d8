import { describe, expect, it } from 'vitest';
import { Graph } from '../../src/graph/graph.ts';
import { lower } from '../../src/graph/lower.ts';
import { gradients } from '../../src/ops/gradient.ts';
import { scale } from '../../src/ops/pointwise.ts';
import {
  type CriterionOptions,
  criterion,
  joinOutputs,
  matchingCosts,
  type OutputSet,
  targetInputs,
} from '../../src/training/criterion.ts';
import { CriterionHost } from '../../src/training/criterion-host.ts';
import { errorOf } from '../checkpoints/fixtures.ts';

const target = { software: false, subgroups: false, maxStorageBuffers: 8, maxWorkgroupStorage: 16384, variants: {} };
const options: CriterionOptions = { classification: 'vfl', classes: 80, maxTargets: 100 };

function outputs(graph: Graph, suffixes: readonly string[]): OutputSet[] {
  return suffixes.map((suffix) => {
    const denoising = suffix.startsWith('_dn');
    const queries = denoising ? 200 : 300;
    // Results of operations, as a model's are: only those can be written into their place.
    return {
      suffix,
      denoising,
      logits: scale(graph.input(`logits${suffix}`, [2, queries, 80]), 2),
      boxes: scale(graph.input(`boxes${suffix}`, [2, queries, 4]), 0.5),
    };
  });
}

describe('the criterion as a piece of graph', () => {
  it('takes a dozen launches for nine sets, costs and gradients included', () => {
    const graph = new Graph();
    const sets = outputs(graph, ['', '_aux_0', '_aux_1', '_aux_2', '_enc_0', '_dn_0', '_dn_1', '_dn_2', '_dn_3']);
    const joined = joinOutputs(sets);
    const targets = targetInputs(graph, 2, options);
    graph.output('costs', matchingCosts(joined, targets, options));
    const { terms, seeds } = criterion(joined, targets, graph.input('match', [2, 2300, 1], 'u32'), options);
    graph.output('terms', terms);
    const wanted = sets.flatMap(({ logits, boxes }) => [logits, boxes]);
    let i = 0;
    for (const gradient of gradients(graph, seeds, wanted).values()) graph.output(`gradient${i++}`, gradient);
    expect(i).toBe(18);
    const kernels = lower(graph, target).map(({ label }) => label);
    expect(kernels.length - wanted.length).toBeLessThanOrEqual(12);
  });

  it('wants matched sets in front', async () => {
    const sets = outputs(new Graph(), ['', '_dn_0', '_aux_0']);
    expect((await errorOf(() => joinOutputs(sets))).code).toBe('E_SHAPE');
  });
});

describe('the criterion on the CPU', () => {
  const sets = [
    { suffix: '', queries: 3 },
    { suffix: '_aux_0', queries: 3 },
    { suffix: '_dn_0', queries: 6, denoising: true },
  ];
  const few: CriterionOptions = { classification: 'vfl', classes: 4, maxTargets: 2 };
  const batch = [{ boxes: [0.5, 0.5, 0.2, 0.2], labels: [3] }];
  const none = { groups: 0, targets: 0, count: 0, empty: false };

  it('gives each row its line', () => {
    const host = new CriterionHost(sets, 1, few);
    const costs = Float32Array.of(5, 0, 1, 0, 7, 0, /* aux */ 1, 0, 3, 0, 2, 0);
    const denoising = { groups: 2, targets: 1, count: 4, empty: false };
    expect([...host.match(costs, batch, denoising)]).toEqual([2, 0, 2, 0, 2, 2, 4, 6, 4, 6, 7, 7]);
    const shared = new CriterionHost(sets, 1, { ...few, shareMatches: true });
    expect([...shared.match(costs, batch, denoising)].slice(0, 6)).toEqual([2, 0, 2, 2, 0, 2]);
    expect([...host.match(costs, [{ boxes: [], labels: [] }], none)]).toEqual([2, 2, 2, 2, 2, 2, 7, 7, 7, 7, 7, 7]);
  });

  it('normalises by the targets of the whole step, denoising sets by their groups too', () => {
    const host = new CriterionHost(sets, 1, few);
    const denoising = { groups: 2, targets: 3, count: 12, empty: false };
    const { table, labels } = host.targets(batch, denoising, [...batch, { boxes: [0, 0, 1, 1, 0, 0, 1, 1], labels: [0, 1] }]);
    const weights = Array.from({ length: 8 }, (_, line) =>
      [...table.subarray(8 * line + 4, 8 * line + 7)].map((w) => Math.round(w * 1e6) / 1e6),
    );
    const [a, b, c] = [1 / 3, 5 / 3, 2 / 3].map((w) => Math.round(w * 1e6) / 1e6);
    const half = [1 / 6, 5 / 6, 1 / 3].map((w) => Math.round(w * 1e6) / 1e6);
    expect(weights).toEqual([[a, b, c], [0, 0, 0], [a, 0, 0], [0, 0, 0], half, [0, 0, 0], [half[0], 0, 0], [0, 0, 0]]);
    expect([...labels]).toEqual([3, 0, 4, 4, 3, 0, 4, 4]);
  });

  it('names the outputs whose costs are not finite', async () => {
    const host = new CriterionHost(sets, 1, few);
    const costs = new Float32Array(12);
    costs[8] = NaN;
    const error = await errorOf(() => host.match(costs, batch, none));
    expect(error).toMatchObject({ code: 'E_INPUT', details: { image: 0, outputs: '_aux_0', row: 1, column: 0 } });
  });

  it('refuses batches of another size and too many targets', async () => {
    const host = new CriterionHost(sets, 1, few);
    expect((await errorOf(() => host.targets([...batch, ...batch], none))).code).toBe('E_INPUT');
    expect((await errorOf(() => host.targets([{ boxes: new Array(12).fill(0.5), labels: [0, 0, 0] }], none))).message).toContain('holds 2');
  });

  it('names losses as the official code does', () => {
    const terms = Float32Array.from({ length: 9 }, (_, i) => i);
    const names = (classification: CriterionOptions['classification'], layout = none) =>
      Object.keys(new CriterionHost(sets, 1, { ...few, classification }).losses(terms, layout).terms);
    expect(names('vfl')).toEqual(['loss_vfl', 'loss_bbox', 'loss_giou', 'loss_vfl_aux_0', 'loss_bbox_aux_0', 'loss_giou_aux_0']);
    expect(names('labels', { ...none, groups: 1 })).toContain('loss_ce_dn_0');
  });
});
