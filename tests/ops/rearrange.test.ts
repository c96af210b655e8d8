import { describe, expect, it } from 'vitest';
import { runOp } from '../setup/gpu-ops.ts';
import { random, sizeOf } from '../setup/random.ts';

function shuffled(x: Float32Array, [n, h, w, all]: number[], f: number): number[] {
  const c = all / f / f;
  return Array.from({ length: n * h * f * w * f * c }, (_, index) => {
    const channel = index % c;
    const ox = Math.floor(index / c) % (w * f);
    const oy = Math.floor(index / c / (w * f)) % (h * f);
    const image = Math.floor(index / c / (w * f) / (h * f));
    const tap = channel * f * f + (oy % f) * f + (ox % f);
    return x[((image * h + Math.floor(oy / f)) * w + Math.floor(ox / f)) * all + tap];
  });
}

describe('pixelShuffle and pixelUnshuffle', () => {
  it.each([
    [[1, 3, 5, 12], 2],
    [[2, 4, 5, 27], 3],
    [[2, 1, 1, 4], 2],
    [[1, 2, 3, 5], 1],
  ])('%j by %d, there and back', async (shape, factor) => {
    const x = random(1).array(sizeOf(shape));
    const there = await runOp('pixelShuffle', [{ data: x, shape }], { factor });
    const [n, h, w, all] = shape;
    expect(there.outputs[0].shape).toEqual([n, h * factor, w * factor, all / factor / factor]);
    expect([...there.outputs[0].data]).toEqual(shuffled(x, shape, factor));
    const back = await runOp('pixelUnshuffle', [there.outputs[0]], { factor });
    expect(back.outputs[0]).toEqual({ data: x, shape });
  });

  it('refuse sizes that do not divide', async () => {
    const x = { data: new Float32Array(30), shape: [1, 3, 5, 2] };
    await expect(runOp('pixelShuffle', [x], { factor: 2 })).rejects.toThrow(/pixelShuffle: \[1, 3, 5, 2\] by 2/);
    await expect(runOp('pixelUnshuffle', [x], { factor: 2 })).rejects.toThrow(/pixelUnshuffle: \[1, 3, 5, 2\] by 2/);
  });
});

describe('unfold', () => {
  const options = { kernel: [3, 2], stride: [2, 1], padding: [1, 1], dilation: [1, 2] };
  function unfolded(x: Float32Array, [n, h, w, c]: number[]): { shape: number[]; value: number[] } {
    const oh = Math.floor((h + 2 - 2 - 1) / 2) + 1;
    const ow = w + 2 - 2 - 1 + 1;
    const value = Array.from({ length: n * oh * ow * 6 * c }, (_, i) => {
      const [channel, kx, ky] = [i % c, Math.floor(i / c) % 2, Math.floor(i / c / 2) % 3];
      const pixel = Math.floor(i / c / 6);
      const [ox, oy, image] = [pixel % ow, Math.floor(pixel / ow) % oh, Math.floor(pixel / ow / oh)];
      const [iy, ix] = [oy * 2 - 1 + ky, ox - 1 + kx * 2];
      return iy < 0 || ix < 0 || iy >= h || ix >= w ? 0 : x[((image * h + iy) * w + ix) * c + channel];
    });
    return { shape: [n, oh, ow, 6 * c], value };
  }

  it.each([[[1, 5, 4, 3]], [[2, 6, 7, 4]], [[1, 1, 1, 1]]])('%j', async (shape) => {
    const x = random(2).array(sizeOf(shape));
    const { outputs } = await runOp('unfold', [{ data: x, shape }], options);
    const expected = unfolded(x, shape);
    expect(outputs[0].shape).toEqual(expected.shape);
    expect([...outputs[0].data]).toEqual(expected.value);
  });

  it('reads a window and writes into one', async () => {
    const x = random(3).array(2 * 5 * 4 * 3);
    const { outputs } = await runOp('unfold', [{ data: x, shape: [2, 5, 4, 3] }], options, {
      inputWindows: { 0: { left: 1, right: 2 } },
      outputWindow: { left: 3 },
    });
    expect([...outputs[0].data]).toEqual(unfolded(x, [2, 5, 4, 3]).value);
  });
});
