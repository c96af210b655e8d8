/** Whole training steps of small models: PyTorch's losses and movement, the same bits again, resuming, accumulation, safety. */
import { describe, expect, it } from 'vitest';
import type { ModelConfig } from '../../src/models/configs.ts';
import { modelParameters } from '../../src/models/rt-detr.ts';
import type { NamedArrays, TrainingState } from '../../src/training/state.ts';
import { formulaTensor, samplePositions } from '../../src/verification/formula.ts';
import { smallModels } from '../models/small-models.ts';
import { page } from '../setup/gpu.ts';
import { type Fixture, fixture, targetsOf } from './fixtures.ts';
import type { StepAnswer, StepCase } from './step.page.ts';

const run = (given: StepCase) => page.call<StepAnswer>('training step', given);
const tiny = smallModels['tiny-v1'];
const frozen: ModelConfig = { ...tiny, freezeNorm: 'all' };
const shapes = modelParameters(tiny);
const batchA = await fixture('train-tiny-v1-frozen-A');

/** Batch A of the golden files with its recorded noise. */
async function golden(name: string, model: ModelConfig): Promise<{ given: StepCase; file: Fixture }> {
  const file = await fixture(name);
  const { seed, overrides, batch, warmup_duration, rules, history } = file.info;
  const given: StepCase = {
    model,
    training: {
      rules: rules.map((rule: { regex: string; lr?: number; weight_decay?: number }) => ({
        pattern: rule.regex,
        ...(rule.lr === undefined ? {} : { rate: rule.lr }),
        ...(rule.weight_decay === undefined ? {} : { decay: rule.weight_decay }),
      })),
      schedule: { warmupSteps: warmup_duration },
    },
    seed,
    overrides,
    images: [0, 1].map((i) => `${seed}/train/${batch}/img${i}`),
    targets: targetsOf(batchA, 'target.%.'),
    noise: {
      queries: batchA.shape('noise.label_u')[1],
      labelUniform: batchA.values('noise.label_u'),
      newLabel: batchA.values('noise.new_label'),
      boxSign: batchA.values('noise.box_sign'),
      boxUniform: batchA.values('noise.box_u'),
    },
    steps: history.length,
  };
  return { given, file };
}

/** A step of batch A that draws its noise from the seed. */
async function seeded(model: ModelConfig, steps: number, changes: Partial<StepCase['training']> = {}): Promise<StepCase> {
  const { given } = await golden('steps-tiny-v1-frozen-A', model);
  const { noise: _, ...rest } = given;
  return { ...rest, training: { ...changes }, steps };
}

const bits = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

function expectSameBits(a: TrainingState, b: TrainingState): void {
  expect([a.steps, a.updates]).toEqual([b.steps, b.updates]);
  for (const kind of ['parameters', 'firstMoments', 'secondMoments', 'average'] as const) {
    const [x, y] = [a[kind]!, b[kind]!];
    expect(Object.keys(x)).toEqual(Object.keys(y));
    const different = Object.keys(x).filter((name) => Buffer.compare(bits(x[name]), bits(y[name])) !== 0);
    expect(different, kind).toEqual([]);
  }
}

/** Squares of each recorded array's distance from ours, and of its movement since step 0, at the recorded samples. */
function movements(file: Fixture, given: StepCase, state: TrainingState): { name: string; error: number; movement: number }[] {
  return file.names.map((name) => {
    const [, kind, parameter] = /^(param|ema)\/(.*)\.val64$/.exec(name)!;
    const values = (kind === 'param' ? state.parameters : state.average!)[parameter];
    const expected = file.values(name);
    const start = formulaTensor(parameter, shapes.get(parameter)!.shape, given.seed, given.overrides);
    let [error, movement] = [0, 0];
    samplePositions(values.length, expected.length).forEach((at, i) => {
      error += (values[at] - expected[i]) ** 2;
      movement += (expected[i] - start[at]) ** 2;
    });
    return { name, error, movement };
  });
}

describe('PyTorch', () => {
  it('twenty steps with frozen norms: losses, gradient norms, movement of parameters and average', async () => {
    const { given, file } = await golden('steps-tiny-v1-frozen-A', frozen);
    const { reports, errors, state, created, readbacks } = await run(given);
    expect(errors).toEqual([]);
    expect(reports.map(({ step }) => step)).toEqual(file.info.history.map((_: unknown, k: number) => k));
    for (const { step, loss, norm } of reports) {
      const { loss_f64, grad_norm_f64 } = file.info.history[step];
      expect(Math.abs(loss / loss_f64 - 1), `loss of step ${step}`).toBeLessThan(2e-5);
      expect(Math.abs(norm / grad_norm_f64 - 1), `norm of step ${step}`).toBeLessThan(1e-3);
    }
    const compared = movements(file, given, state);
    expect(compared.length).toBeGreaterThan(150);
    for (const { name, error, movement } of compared) expect(Math.sqrt(error / movement), name).toBeLessThan(2e-2);
    const sum = (key: 'error' | 'movement') => compared.reduce((total, entry) => total + entry[key], 0);
    expect(Math.sqrt(sum('error') / sum('movement'))).toBeLessThan(2e-3);
    // Steady state: nothing is created, and one read-back a step.
    expect({ created, readbacks }).toEqual({ created: 0, readbacks: given.steps });
  });
});

describe('bits', () => {
  it('are the same in a second run, with memory of its own for every tensor, and after a stop between two steps', async () => {
    const given = await seeded(tiny, 2);
    const whole = await run(given);
    expect(whole.reports.map(({ step }) => step)).toEqual([0, 1]);
    expectSameBits(whole.state, (await run(given)).state);
    const apart = await run(await seeded(tiny, 2, { program: { reuseMemory: false } }));
    expectSameBits(whole.state, apart.state);
    expect(apart.statistics.activationBytes).toBeGreaterThan(2 * whole.statistics.activationBytes);
    const first = await run({ ...given, steps: 1 });
    const second = await run({ ...given, steps: 1, from: first.state });
    expectSameBits(whole.state, second.state);
    expect(second.reports[0]).toEqual(whole.reports[1]);
    const [before, after] = [first, whole].map(({ state }) => bits(state.parameters['backbone.conv1.conv1_1.conv.weight']));
    expect(Buffer.compare(before, after)).not.toBe(0);
  });
});

describe('recomputation', () => {
  const blocks = ['^backbone\\.res_layers\\.\\d+', '^encoder\\.\\w+\\.\\d+', '^decoder\\.layers\\.\\d+'];

  it.each([
    ['tiny-v1', tiny],
    ['odd-ae-v2', smallModels['odd-ae-v2']],
  ])('%s: the same bits, in less memory, with memory reused or not', async (_, model) => {
    const take = async (changes: Partial<StepCase['training']>) => run(await seeded(model, 2, changes));
    const kept = await take({ recompute: 'none' });
    const given = [{ recompute: 'normalised' }, { recompute: blocks }, { recompute: blocks, program: { reuseMemory: false } }] as const;
    const answers = [kept];
    for (const changes of given) {
      answers.push(await take(changes));
      expectSameBits(kept.state, answers[answers.length - 1].state);
    }
    for (const { bytes } of answers) {
      expect(bytes.held).toBeGreaterThanOrEqual(bytes.planned);
      expect(bytes.held - bytes.planned).toBeLessThan(2 ** 20);
    }
    const [none, normalised, inBlocks] = answers.map(({ statistics }) => statistics);
    expect(normalised.activationBytes).toBeLessThan(none.activationBytes);
    expect(inBlocks.activationBytes).toBeLessThan(normalised.activationBytes);
    expect(normalised.dispatches).toBeGreaterThan(none.dispatches);
    expect(inBlocks.dispatches).toBeGreaterThan(normalised.dispatches);
  });
});

/** Relative L2 distance over all arrays, and the largest of single arrays' distances in parts of all arrays' norm. */
function difference(a: NamedArrays, b: NamedArrays): { all: number; worst: number } {
  const squares = Object.keys(b).map((name) => {
    let [error, size] = [0, 0];
    b[name].forEach((value, i) => {
      error += (a[name][i] - value) ** 2;
      size += value ** 2;
    });
    return [error, size];
  });
  const [error, size] = [0, 1].map((k) => squares.reduce((sum, pair) => sum + pair[k], 0));
  return { all: Math.sqrt(error / size), worst: Math.max(...squares.map(([e, s]) => Math.sqrt(e / (s + size / squares.length)))) };
}

describe('accumulation', () => {
  // Without clipping the first moment of a single step is a tenth of the gradient.
  const model: ModelConfig = { ...frozen, size: [64, 64] };
  const count = [3, 0, 1, 8, 2, 1, 0, 5];
  const targets = count.map((n, image) => ({
    boxes: Array.from({ length: n }, (_, t) => [0.2 + 0.07 * t, 0.8 - 0.06 * (t + image / 8), 0.1 + 0.02 * t, 0.3 - 0.02 * image]).flat(),
    labels: Array.from({ length: n }, (_, t) => (t + image) % 5),
  }));
  const split = async (batch: number, parts: number, { first = 0, accumulation = parts > 1 } = {}): Promise<StepAnswer> => {
    const given = await seeded(model, 1, { batch, accumulation, maxNorm: 0 });
    const numbers = Array.from({ length: batch * parts }, (_, i) => first + i);
    const images = numbers.map((i) => `${given.seed}/train/A/img${i}`);
    return run({ ...given, images, targets: numbers.map((i) => targets[i]) });
  };

  it('of eight images as 8 x 1, 4 x 2, 2 x 4 and 1 x 8 has one gradient, within the roundings of two sums over eight images', async () => {
    const whole = await split(8, 1);
    // Up to the sums every image has the same bits in any batch; each sum rounds eight times.
    const tolerance = 2 * 8 * 2 ** -24;
    for (const batch of [1, 2, 4]) {
      const { reports, state, readbacks, created } = await split(batch, 8 / batch);
      expect(Math.abs(reports[0].loss / whole.reports[0].loss - 1), `loss ${batch}`).toBeLessThan(tolerance);
      const { all, worst } = difference(state.firstMoments, whole.state.firstMoments);
      expect(all, `batch ${batch}`).toBeLessThan(tolerance);
      expect(worst, `batch ${batch}`).toBeLessThan(tolerance);
      expect({ readbacks, created }).toEqual({ readbacks: 8 / batch, created: 0 });
    }
  });

  it('divides by the objects of the whole step: two halves on their own have another gradient together', async () => {
    const whole = await split(8, 1);
    const halves = [await split(4, 1), await split(4, 1, { first: 4 })].map(({ state }) => state.firstMoments);
    const sum = Object.fromEntries(Object.entries(halves[0]).map(([name, g]) => [name, g.map((v, i) => v + halves[1][name][i])]));
    expect(difference(sum, whole.state.firstMoments).all).toBeGreaterThan(0.1);
  });

  it('of one part has the bits of a step without', async () => {
    expectSameBits((await split(2, 1, { accumulation: true })).state, (await split(2, 1)).state);
  });
});

describe('numbers that are not finite', () => {
  it('in the image are refused, and change nothing', async () => {
    const given = await seeded(tiny, 1);
    const one = await run(given);
    const spoilt = await run({ ...given, steps: 2, spoil: { step: 1, image: true } });
    expect(spoilt.errors.map(({ step, code }) => [step, code])).toEqual([[1, 'E_INPUT']]);
    expect(spoilt.reports).toEqual(one.reports);
    expectSameBits(spoilt.state, one.state);
  });

  /** A step with a parameter spoilt: what is said, and that all else is as the step before left it. */
  async function spoil(parameter: string, name: string, value = Number.NaN) {
    const given = await seeded(tiny, 1);
    const one = await run(given);
    const spoilt = await run({ ...given, steps: 2, spoil: { step: 1, parameters: [{ key: parameter, value }] } });
    expect(spoilt.reports).toEqual(one.reports);
    const { [name]: values } = spoilt.state.parameters;
    expect(values.every((found) => Object.is(found, Math.fround(value)))).toBe(true);
    spoilt.state.parameters[name] = one.state.parameters[name];
    expectSameBits({ ...spoilt.state, steps: 1 }, one.state);
    return spoilt.errors.map(({ step, code, details }) => [step, code, details.step, details.in, details.tensor]);
  }

  it('in a parameter that reaches the outputs are found before the step is taken', async () => {
    const name = 'decoder.dec_score_head.0.bias';
    expect(await spoil('decoder.dec_score_head.0.weight bias', name)).toEqual([[1, 'E_TRAIN_NAN', 1, 'parameter', name]]);
  });

  it('in a parameter that a maximum may hide are found all the same', async () => {
    const name = 'backbone.res_layers.0.blocks.0.branch2a.norm.bias';
    expect(await spoil(name, name)).toEqual([[expect.any(Number), 'E_TRAIN_NAN', 1, 'parameter', name]]);
  });

  it('in the outputs of finite parameters are named after the outputs', async () => {
    const given = await seeded(tiny, 1);
    // What the last norm makes infinite, the score head adds with both signs.
    const parameters = [{ key: 'decoder.decoder.layers.1.norm3.weight', value: 3e38 }];
    const { errors, reports } = await run({ ...given, spoil: { step: 0, parameters } });
    expect(reports).toEqual([]);
    expect(errors.map(({ step, code, details }) => [step, code, details.tensor])).toEqual([[0, 'E_TRAIN_NAN', 'outputs']]);
  });

  it('in a gradient alone change nothing, and finish says so before another step', async () => {
    const given = await seeded(tiny, 0);
    const layer = 'encoder.encoder.0.layers.0';
    // GELU(0) = 0 hides the large weights from the losses, GELU'(0) = 1/2 shows them to the gradient.
    const parameters = [
      { key: `${layer}.linear1.weight weight`, value: 0 },
      { key: `${layer}.linear1.weight bias`, value: 0 },
      { key: `${layer}.linear2.weight weight`, value: 3e38 },
    ];
    const { state: start } = await run({ ...given, spoil: { step: 0, parameters } });
    const { state, errors, reports } = await run({ ...given, steps: 1, spoil: { step: 0, parameters } });
    expect(reports).toEqual([]);
    expect(errors).toEqual([
      expect.objectContaining({ step: 1, code: 'E_TRAIN_NAN', details: expect.objectContaining({ step: 0, in: 'gradient' }) }),
    ]);
    expect(errors[0].message).toMatch(/the gradient of \S+ had a number that is not finite; no parameter has changed/);
    for (const name of parameters.map(({ key }) => key.replace(/(weight|bias) (weight|bias)$/, '$2')))
      start.parameters[name] = state.parameters[name];
    expectSameBits({ ...state, steps: 0 }, start);
  });

  it('in the losses are reported with the next read-back, and the step was not taken', async () => {
    const criterion = { weights: { classification: 1, boxes: 3e38, giou: 2 } };
    const far = (steps: number) =>
      seeded(tiny, steps, { criterion }).then((given): StepCase => {
        const [{ labels }, none] = given.targets;
        return { ...given, targets: [{ boxes: Array.from(labels).flatMap(() => [9, 9, 1, 1]), labels }, none] };
      });
    const none = await run(await far(0));
    const spoilt = await run(await far(1));
    expect(spoilt.errors.map(({ step, code, details }) => [step, code, details.step, details.tensor])).toEqual([
      [1, 'E_TRAIN_NAN', 0, 'losses'],
    ]);
    expect(spoilt.errors[0].message).toContain('the box loss of outputs of the last layer');
    expectSameBits({ ...spoilt.state, steps: 0 }, none.state);
    expect(spoilt.state.updates).toBe(0);
  });
});
