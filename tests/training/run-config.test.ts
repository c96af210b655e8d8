import { describe, expect, it } from 'vitest';
import { modelConfig } from '../../src/models/resolve.ts';
import { recipe } from '../../src/training/recipes.ts';
import { flagName, readSettings, resolveRun, runConfigKeys } from '../../src/training/run-config.ts';

const nano = modelConfig('association-detr-nano');
const r34 = modelConfig('association-detr-r34');

const read = (settings: Record<string, unknown>) => readSettings(settings, 'a.yaml');

describe('settings of a run', () => {
  it('are read from text and from values alike, however the key is written', () => {
    const wanted = { valEvery: 5, lr: 1e-4, size: [480, 640], maxTime: 7200, freeze: ['^backbone', 'norm'], milestones: [30, 60] };
    expect(read({ 'val-every': '5', LR: '1e-4', size: '480x640', max_time: '2h', freeze: '^backbone, norm', milestones: '30,60' })).toEqual(
      wanted,
    );
    expect(read({ valEvery: 5, lr: 1e-4, size: [480, 640], maxTime: 7200, freeze: ['^backbone', 'norm'], milestones: [30, 60] })).toEqual(
      wanted,
    );
    expect(read({ size: 320 })).toEqual({ size: [320, 320] });
    expect(read({ 'modelConfig.queries': 50, 'modelConfig.associationEncoder.window': 4 })).toEqual({
      modelConfig: { queries: 50, associationEncoder: { window: 4 } },
    });
    expect(read({ rules: [{ pattern: 'head', rate: 1e-3 }] })).toEqual({ rules: [{ pattern: 'head', rate: 1e-3 }] });
  });

  it.each([
    [{ epoch: 3 }, 'a.yaml: there is no setting "epoch"; did you mean "epochs"?'],
    [{ valEvry: 3 }, 'did you mean "valEvery"?'],
    [{ frobnicate: 3 }, /there is no setting "frobnicate"$/],
    [{ epochs: 0 }, 'epochs is 0, expected a whole number from 1 to 100000'],
    [{ epochs: 2.5 }, 'epochs is 2.5, expected a whole number'],
    [{ lr: 'fast' }, 'lr is "fast", expected a number from 0 to 10'],
    [{ lr: '' }, 'lr is ""'],
    [{ lr: null }, 'lr is null'],
    [{ batch: true }, 'batch is true'],
    [{ size: 100 }, 'size is 100, expected a multiple of 32'],
    [{ size: '64x64x64' }, 'expected a multiple of 32'],
    [{ maxTime: '2 weeks' }, 'expected a time such as 90s, 30m or 2h'],
    [{ schedule: 'cosin' }, 'expected constant, cosine, linear'],
    [{ rules: [{ pattern: 'x', lr: 3 }] }, 'expected a list, each an object of pattern, rate and decay'],
    [{ modelConfig: [1] }, 'expected keys with values'],
    [{ 'lr.backbone': 1 }, 'lr.backbone is 1'],
  ])('%j is refused', (settings, message) => {
    expect(() => read(settings)).toThrow(message);
    expect(() => read(settings)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }));
  });

  it('come back from the file they are written to', () => {
    const config = resolveRun({ data: 'a', size: [64, 96], freeze: ['^backbone'], maxTime: 90, modelConfig: { queries: 9 } }, nano);
    expect(read(JSON.parse(JSON.stringify(config)) as Record<string, unknown>)).toEqual(config);
  });

  it('have flags of the same names', () => {
    expect(runConfigKeys.map(flagName)).toContain('val-every');
    expect(runConfigKeys.map(flagName)).toContain('backbone-lr');
  });
});

describe('what is left out', () => {
  it('is for training from scratch without weights: one falling rate, norms and biases not decayed', () => {
    expect(resolveRun({ data: 'a' }, nano)).toMatchObject({
      lr: 4e-4,
      backboneLr: 4e-4,
      schedule: 'cosine',
      accumulate: 1,
      size: [256, 256],
    });
    expect(resolveRun({ data: 'a', lr: 1e-3 }, nano).backboneLr).toBe(1e-3);
    expect(resolveRun({ data: 'a' }, nano).rules).toEqual([{ pattern: 'norm|bn|bias', decay: 0 }]);
    expect(resolveRun({ data: 'a', backboneLr: 1e-5 }, nano).rules.map(({ rate, decay }) => [rate, decay])).toEqual([
      [1e-5, 0],
      [1e-5, undefined],
      [undefined, 0],
    ]);
  });

  it("is the model's recipe with weights: batches summed to 16 pictures, the backbone's rate its own", () => {
    const config = resolveRun({ data: 'a', weights: 'w.pth', batch: 8 }, r34);
    const { training, epochs } = recipe(r34);
    expect(config).toMatchObject({
      lr: 1e-4,
      backboneLr: 1e-5,
      schedule: 'constant',
      warmup: 2000,
      warmupStart: 0.001,
      epochs,
      accumulate: 2,
      clip: 0.1,
    });
    expect(config.rules).toEqual(training.rules);
    const faster = resolveRun({ data: 'a', weights: 'w.pth', backboneLr: 5e-5 }, r34);
    expect(faster.rules.flatMap(({ rate }) => (rate === undefined ? [] : [rate]))).toEqual([5e-5, 5e-5]);
    expect(faster.accumulate).toBe(4);
  });

  it('has no rule for what is frozen; given rules are taken as they are', () => {
    const frozen = resolveRun({ data: 'a', weights: 'w.pth', freeze: ['^backbone'] }, r34);
    expect(frozen.rules.some(({ pattern }) => pattern.includes('backbone'))).toBe(false);
    expect(frozen.rules.length).toBeGreaterThan(0);
    expect(resolveRun({ data: 'a', rules: [{ pattern: 'nothing' }] }, nano).rules).toEqual([{ pattern: 'nothing' }]);
  });

  it('cannot be the data set', () => {
    expect(() => resolveRun({}, nano)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }));
  });
});
