import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackdropError } from '../../src/errors.ts';
import { decodeMessage, encodeMessage } from '../../src/host/message.ts';

const roundTrip = (value: unknown) => decodeMessage(encodeMessage(value));

describe('message', () => {
  it('carries typed arrays of every kind at any depth', () => {
    const value = {
      list: [new Float32Array([1.5, -0, Number.NaN]), { deep: new Uint8Array([1, 2, 3]) }],
      wide: new BigInt64Array([-1n, 2n ** 62n]),
      half: new Uint16Array([0xffff]),
      empty: new Float64Array(0),
      buffer: new Uint8Array([9, 8]).buffer,
    };
    expect(roundTrip(value)).toEqual(value);
  });

  it('keeps what JSON loses', () => {
    const value = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 12n, undefined, null, { $: 1, $$: 2 }];
    expect(roundTrip(value)).toEqual(value);
    expect(Object.is((roundTrip([-0]) as number[])[0], -0)).toBe(true);
  });

  it('sends an array that occurs twice once, and only the part of the buffer that is seen', () => {
    const shared = new Float32Array(1000);
    expect(encodeMessage([shared, shared]).byteLength).toBeLessThan(4500);
    expect(encodeMessage(shared.subarray(10, 20)).byteLength).toBeLessThan(200);
  });

  it('gives a BackdropError back as one', () => {
    const error = roundTrip(new BackdropError('E_SHAPE', 'no', { hint: 'try', details: { shape: [1, 2] } })) as BackdropError;
    expect(error).toBeInstanceOf(BackdropError);
    expect(error).toMatchObject({ code: 'E_SHAPE', message: 'no', hint: 'try', details: { shape: [1, 2] } });
  });

  it('refuses what it cannot carry, and says where it is', () => {
    expect(() => encodeMessage({ a: [1, { f: () => 1 }] })).toThrow('a[1].f is a function');
    expect(() => encodeMessage({ m: new Map() })).toThrow('m is a Map');
  });

  it('refuses damaged bytes', () => {
    expect(() => decodeMessage(new Uint8Array(2))).toThrow(RangeError);
    expect(() => decodeMessage(encodeMessage({ a: 1 }).slice(0, 8))).toThrow(RangeError);
  });

  it('carries any JSON value unchanged', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(roundTrip(value)).toEqual(value);
      }),
    );
  });
});
