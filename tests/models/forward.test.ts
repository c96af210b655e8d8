import { describe, expect, it } from 'vitest';
import type { HostArray } from '../../src/graph/program.ts';
import { page } from '../setup/gpu.ts';
import type { ForwardReply, ForwardRequest } from './forward.page.ts';
import { smallModels } from './small-models.ts';

const forward = (...requests: ForwardRequest[]): Promise<ForwardReply[]> => page.call<ForwardReply[]>('forward', requests);

/** Where the bits of two arrays differ first; -1 where they are equal. */
function firstDifference(a: HostArray, b: HostArray): number {
  expect(a.length).toBe(b.length);
  const [x, y] = [a, b].map((data) => new Uint32Array(data.buffer, data.byteOffset, data.length));
  return x.findIndex((word, i) => word !== y[i]);
}

function expectSame(a: ForwardReply, b: ForwardReply, names: readonly string[] = ['logits', 'boxes', 'topk']): void {
  for (const name of names) expect(firstDifference(a.outputs[name], b.outputs[name]), name).toBe(-1);
}

const largestDifference = (a: HostArray, b: HostArray): number =>
  Array.from(a, (v, i) => Math.abs(v - b[i])).reduce((x, y) => Math.max(x, y), 0);

const tiny = smallModels['tiny-v1'];
const encoder = smallModels['tiny-ae-v1'];
const odd = smallModels['odd-ae-v2'];
const images = ['one'];

describe.each([
  ['tiny-ae-v1', encoder],
  ['odd-ae-v2', odd],
])('a forward pass of %s', (_, config) => {
  it('gives the same bits again, with memory of its own for every tensor, and with stages read back', async () => {
    const taps = ['backbone.res_layers.1', 'F_b', 'encoder.out.2', 'decoder.layers.0.out'];
    const [first, again, apart, tapped] = await forward(
      { config, images },
      { config, images },
      { config, images, reuseMemory: false },
      { config, images, taps },
    );
    expectSame(first, again);
    expectSame(first, apart);
    expect(apart.statistics.activationBytes).toBeGreaterThan(first.statistics.activationBytes);
    expect(Object.keys(tapped.outputs)).toEqual(expect.arrayContaining(taps.map((stage) => `stage/${stage}`)));
    expectSame(first, tapped, ['topk']);
    // A stage that is read back is stored in between: the compiler may contract the sums around it differently.
    expect(largestDifference(first.outputs.logits, tapped.outputs.logits)).toBeLessThan(1e-5);
  });

  it('treats each image of a batch by itself', async () => {
    const [both, one, two] = await forward({ config, images: ['one', 'two'] }, { config, images: ['one'] }, { config, images: ['two'] });
    for (const name of ['logits', 'boxes', 'topk']) {
      const half = both.outputs[name].length / 2;
      expect(firstDifference(both.outputs[name].slice(0, half), one.outputs[name]), name).toBe(-1);
      expect(firstDifference(both.outputs[name].slice(half), two.outputs[name]), name).toBe(-1);
    }
    expect(firstDifference(one.outputs.logits, two.outputs.logits)).not.toBe(-1);
  });

  it('computes fused what it computes with every operation on its own', async () => {
    const [fused, plain] = await forward({ config, images }, { config, images, fuse: { pointwise: false, concat: false } });
    expect(plain.statistics.dispatches).toBeGreaterThan(fused.statistics.dispatches * 1.3);
    expectSame(fused, plain, ['topk']);
    expect(largestDifference(fused.outputs.logits, plain.outputs.logits)).toBeLessThan(1e-5);
    expect(largestDifference(fused.outputs.boxes, plain.outputs.boxes)).toBeLessThan(1e-6);
  });
});

describe('the Association Encoder', () => {
  const gated = { ...encoder, associationEncoder: { ...encoder.associationEncoder!, gate: 'scalar' as const } };

  it('with a zero gate leaves the detector as it was, bit for bit', async () => {
    const [plain, closed, open] = await forward(
      { config: tiny, images },
      { config: gated, images, given: { 'association_encoder.gate': new Float32Array([0]) } },
      { config: gated, images },
    );
    expectSame(plain, closed);
    expect(firstDifference(plain.outputs.logits, open.outputs.logits)).not.toBe(-1);
  });

  it('changes F_3 and nothing before it', async () => {
    const taps = ['encoder.out.0', 'encoder.out.1', 'encoder.out.2'];
    const [plain, added] = await forward({ config: tiny, images, taps }, { config: encoder, images, taps: [...taps, 'F_3', 'background'] });
    expectSame(
      plain,
      added,
      taps.map((stage) => `stage/${stage}`),
    );
    const [f3, background, before] = ['F_3', 'background', 'encoder.out.2'].map((stage) => added.outputs[`stage/${stage}`]);
    expect(f3.every((v, i) => Math.abs(v - (before[i] + background[i])) <= 1e-6 * (1 + Math.abs(v)))).toBe(true);
    expect(background.some((v) => v !== 0)).toBe(true);
  });

  it.each([
    ['residual', (fb: number, fa: number) => fb + fa],
    ['double', (fb: number, fa: number) => fb + (fb + fa)],
    ['direct', (_: number, fa: number) => fa],
  ] as const)('adds by the wiring "%s"', async (wiring, sum) => {
    const config = { ...encoder, associationEncoder: { ...encoder.associationEncoder!, wiring } };
    const [{ outputs }] = await forward({ config, images, taps: ['F_b', 'F_a', 'background'] });
    const [fb, fa, background] = ['F_b', 'F_a', 'background'].map((stage) => outputs[`stage/${stage}`]);
    expect(background.every((v, i) => Math.abs(v - sum(fb[i], fa[i])) <= 1e-6 * (1 + Math.abs(v)))).toBe(true);
    expect(fb.every((v) => v >= 0)).toBe(true);
  });

  it.each([
    ['pool none', { pool: 'none', blockStrides: [2, 2] }],
    ['pool max5s4', { pool: 'max5s4', blockStrides: [1, 1] }],
    ['two RFCBAMConv a block', { blockConvs: 'rf-rf' }],
    ['one RFCBAMConv a block', { blockConvs: 'rf' }],
    ['shortcut subsample', { shortcut: 'subsample' }],
    ['shortcut max', { shortcut: 'max' }],
    ['shortcut conv', { shortcut: 'conv' }],
    ['projection of its own', { bamInput: 'own', s1Channels: 16 }],
    ['no bias in fuse, no bias table', { fuseBias: false, relPosBias: false }],
    ['qkv bias, ConvFFN first', { qkvBias: true, amOrder: 'ffn-attn' }],
    ['5x5 receptive field', { kernel: 5 }],
  ] as const)('runs with %s, on odd maps', async (_, changes) => {
    const config = { ...encoder, associationEncoder: { ...encoder.associationEncoder!, ...changes } };
    const [{ outputs }] = await forward({ config, images, size: [96, 224], taps: ['F_3'] });
    expect(outputs['stage/F_3'].every(Number.isFinite)).toBe(true);
    expect(outputs.logits.every(Number.isFinite)).toBe(true);
  });
});

describe('programs of several sizes', () => {
  it('share their parameters', async () => {
    const [first, second] = await forward({ config: tiny, images }, { config: tiny, images, size: [128, 160] });
    // Anchors, masks, position codes and level tables of the new size; no weights.
    expect(second.parameterBytes - first.parameterBytes).toBeLessThan(24 * 1024);
    expect(first.parameterBytes).toBeGreaterThan(1e6);
  });
});
