/** Verification can fail: small changes to golden files, each of which it must notice. */
import { describe, expect, test } from 'vitest';
import { failures, readFixture, readHeader, verify } from './gpu-golden.ts';

/** A copy of a file with the float32 values of one tensor changed. */
function withValues(file: string, tensor: string, change: (values: Float32Array) => void): Uint8Array<ArrayBuffer> {
  const bytes = readFixture(file);
  const { tensors, dataStart } = readHeader(bytes);
  const [from, to] = tensors[tensor].data_offsets;
  const values = new Float32Array(bytes.slice(dataStart + from, dataStart + to).buffer);
  change(values);
  bytes.set(new Uint8Array(values.buffer), dataStart + from);
  return bytes;
}

/** A copy of a file with a text of its metadata, which is JSON inside JSON, changed to another of the same length. */
function withText(file: string, ...change: [from: string, to: string]): Uint8Array<ArrayBuffer> {
  const [from, to] = change.map((text) => text.replaceAll('"', '\\"'));
  const bytes = readFixture(file);
  const { dataStart } = readHeader(bytes);
  const text = new TextDecoder().decode(bytes.subarray(8, dataStart));
  if (from.length !== to.length || !text.includes(from)) throw new Error(`cannot change ${from} to ${to}`);
  bytes.set(new TextEncoder().encode(text.replace(from, to)), 8);
  return bytes;
}

describe('an operation', () => {
  const file = 'ops-norm.safetensors';
  const name = 'softmax_last12';
  const tensor = `${name}/out/out`;
  const changes: [string, (values: Float32Array) => void][] = [
    ['one value off by 1e-4', (v) => v.set([v[30] + 1e-4], 30)],
    ['one value missing', (v) => v.fill(0, 77, 78)],
    ['two values swapped', (v) => v.set([v[1], v[0]], 0)],
    ['rows shifted', (v) => v.copyWithin(12, 0)],
  ];
  test.each(changes)('%s', async (_, change) => {
    const [report] = await verify(file, withValues(file, tensor, change), [name]);
    expect(report.status).toBe('fail');
    expect(failures(report)).toHaveLength(1);
  });

  test('one value of the input changed', async () => {
    const [report] = await verify(
      file,
      withValues(file, `${name}/in/x`, (v) => v.set([v[40]], 3)),
      [name],
    );
    expect(report.status).toBe('fail');
  });

  test.each([
    ['one value of a gradient off by 1e-4', 'grad/x', (v: Float32Array) => v.set([v[30] + 1e-4], 30)],
    ['two values of an upstream gradient swapped', 'gout/out', (v: Float32Array) => v.set([v[1], v[0]], 0)],
  ] as const)('%s', async (_, which, change) => {
    const [forward, backward] = await verify(file, withValues(file, `${name}/${which}`, change), [name]);
    expect(forward.status).toBe('pass');
    expect(backward).toMatchObject({ name: `${name}/grad`, status: 'fail' });
  });

  test('another dilation', async () => {
    const conv = 'ops-conv.safetensors';
    const [report] = await verify(conv, withText(conv, '"dilation":2', '"dilation":1'), ['dilated2']);
    expect(report.status).toBe('fail');
  });
});

describe('a training step', () => {
  const file = 'train-odd-v2-frozen-B.safetensors';
  const gradient = 'grad/encoder.input_proj.0.conv.weight.val64';
  const cases: [string, string, () => Uint8Array<ArrayBuffer>][] = [
    ['another draw', 'losses', () => withValues(file, 'noise.box_u', (v) => v.set([v[0] / 2], 0))],
    ['fewer sampling points', 'outputs', () => withText(file, '"points":[2,4,3]', '"points":[2,4,2]')],
    ['one gradient off by a hundredth', 'gradients', () => withValues(file, gradient, (v) => v.set([v[3] + 1e-2], 3))],
  ];
  test.each(cases)('%s', async (_, name, make) => {
    const reports = await verify(file, make());
    expect(reports.find((report) => report.name === name)?.status).toBe('fail');
  });
});

describe('a model', () => {
  const file = 'eval-tiny-v1.safetensors';
  const cases: [string, () => Uint8Array<ArrayBuffer>][] = [
    ['another salt of the score head', () => withText(file, 'adetr-1#310', 'adetr-1#311')],
    ['another image', () => withText(file, 'img0..1', 'img1..2')],
    ['fewer sampling points', () => withText(file, '"points":4', '"points":3')],
    ['another anchor margin', () => withText('eval-odd-v2.safetensors', '"eps":0.03', '"eps":0.01')],
    ['one box off by 1e-4', () => withValues(file, 'pred_boxes', (v) => v.set([v[5] + 1e-4], 5))],
    ['two queries exchanged', () => withValues(file, 'pred_boxes', (v) => v.copyWithin(0, 4, 8))],
    ['one sample of a stage off by a thousandth', () => withValues(file, 'stage/encoder.out.2.val64', (v) => v.set([v[9] + 1e-3], 9))],
  ];
  test.each(cases)('%s', async (_, make) => {
    const reports = await verify(file, make());
    expect(reports.map(({ status }) => status)).toContain('fail');
  });
});
