import { describe, expect, it } from 'vitest';
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from '../../src/checkpoints/index.ts';

const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
const f16 = (...values: number[]) => [...float32ToFloat16(Float32Array.from(values))];
const bf16 = (...values: number[]) => [...float32ToBfloat16(Float32Array.from(values))];

describe('float16', () => {
  it('every value survives the way to float32 and back', () => {
    const values = float16ToFloat32(all);
    const back = float32ToFloat16(values);
    for (let i = 0; i < 65536; i++) if (!Number.isNaN(values[i]!)) expect(back[i]).toBe(i);
    expect([...all].filter((i) => Number.isNaN(values[i]!))).toHaveLength(2046);
  });
  it('has the values of the standard', () => {
    expect([...float16ToFloat32(Uint16Array.of(0x3c00, 0xc000, 0x7bff, 0x0001, 0x03ff, 0x8000, 0x7c00, 0xfc00))]).toEqual([
      1,
      -2,
      65504,
      2 ** -24,
      1023 * 2 ** -24,
      -0,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ]);
  });
  it('rounds to nearest, ties to even, and overflows from 65520', () => {
    expect(f16(1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519.996, 65520, -65520)).toEqual([0x3c00, 0x3c02, 0x7bff, 0x7c00, 0xfc00]);
    expect(f16(2 ** -25, 2 ** -25 * 1.0000001, 3 * 2 ** -25, 2 ** -14 - 2 ** -26, Number.NaN)).toEqual([0, 1, 2, 0x0400, 0x7e00]);
  });
  it('every rounding is to the nearer neighbour', () => {
    const values = float16ToFloat32(all);
    for (let i = 0; i < 0x7bff; i++) {
      const [low, high] = [values[i]!, values[i + 1]!];
      const middle = (low + high) / 2;
      const step = (high - low) / 16;
      expect(f16(middle - step, middle, middle + step)).toEqual([i, i % 2 ? i + 1 : i, i + 1]);
    }
  });
});

describe('bfloat16', () => {
  it('every value survives the way to float32 and back', () => {
    const back = float32ToBfloat16(bfloat16ToFloat32(all));
    for (let i = 0; i < 65536; i++) if ((i & 0x7fff) <= 0x7f80) expect(back[i]).toBe(i);
  });
  it('rounds to nearest, ties to even, and keeps NaN', () => {
    expect(bf16(1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, 3.4e38, Number.NaN).map((x) => x.toString(16))).toEqual([
      '3f80',
      '3f82',
      '3f81',
      '7f80',
      '7fc0',
    ]);
  });
});
