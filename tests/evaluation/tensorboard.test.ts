import { describe, expect, it } from 'vitest';
import { eventFileName, eventFileStart, scalarEvent } from '../../src/evaluation/tensorboard.ts';

/** CRC-32C bit by bit, from the polynomial as RFC 3720 gives it. */
function crc32c(data: Uint8Array): number {
  const reflect = (value: bigint, bits: number) => BigInt(`0b${value.toString(2).padStart(bits, '0').split('').reverse().join('')}`);
  let register = 0xffffffffn;
  for (const byte of data) {
    register ^= reflect(BigInt(byte), 8) << 24n;
    for (let bit = 0; bit < 8; bit++)
      register = register & 0x80000000n ? ((register << 1n) ^ 0x11edc6f41n) & 0xffffffffn : (register << 1n) & 0xffffffffn;
  }
  return Number(reflect(register ^ 0xffffffffn, 32));
}

function unmask(masked: number): number {
  const rotated = (masked - 0xa282ead8) >>> 0;
  return ((rotated << 15) | (rotated >>> 17)) >>> 0;
}

/** The frames of an event file, their checksums verified. */
function frames(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const result: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(view.getBigUint64(at, true));
    expect(unmask(view.getUint32(at + 8, true))).toBe(crc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(data.length).toBe(length);
    expect(unmask(view.getUint32(at + 12 + length, true))).toBe(crc32c(data));
    result.push(data);
    at += 16 + length;
  }
  return result;
}

/** A protobuf message as [field, value]: fixed64 as double, fixed32 as float, varint as bigint, the rest as bytes. */
function fields(message: Uint8Array): [number, number | bigint | Uint8Array][] {
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  const result: [number, number | bigint | Uint8Array][] = [];
  while (at < message.length) {
    const key = Number(varint());
    const field = key >> 3;
    if ((key & 7) === 0) result.push([field, varint()]);
    else if ((key & 7) === 1) [result[result.length], at] = [[field, view.getFloat64(at, true)], at + 8];
    else if ((key & 7) === 5) [result[result.length], at] = [[field, view.getFloat32(at, true)], at + 4];
    else if ((key & 7) === 2) {
      const length = Number(varint());
      result.push([field, message.subarray(at, at + length)]);
      at += length;
    } else expect.fail(`wire type ${key & 7}`);
  }
  expect(at).toBe(message.length);
  return result;
}

const text = (value: unknown) => new TextDecoder().decode(value as Uint8Array);

function decode(event: Uint8Array) {
  const read = new Map(fields(event));
  const scalars = (read.has(5) ? fields(read.get(5) as Uint8Array) : []).map(([field, value]) => {
    expect(field).toBe(1);
    const parts = new Map(fields(value as Uint8Array));
    expect([...parts.keys()]).toEqual([1, 2]);
    return [text(parts.get(1)), parts.get(2)];
  });
  return { time: read.get(1), step: read.get(2), version: read.has(3) ? text(read.get(3)) : undefined, scalars };
}

describe('TensorBoard event files', () => {
  it('the check itself knows RFC 3720’s values', () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  });

  it('begin as every event file does', () => {
    const start = eventFileStart(1700000000.5);
    // TensorFlow's own files begin with these twelve bytes: 24 and its checksum.
    expect(Buffer.from(start.subarray(0, 12)).toString('hex')).toBe('1800000000000000a37f4b22');
    expect(frames(start).map(decode)).toEqual([{ time: 1700000000.5, step: undefined, version: 'brain.Event:2', scalars: [] }]);
    expect(eventFileName(1700000000.9, 'here')).toBe('events.out.tfevents.1700000000.here');
  });

  it('hold scalars with their step and tag', () => {
    const scalars = { 'train/loss': 14.25, 'metrics/AP': 0.1, 'größe/ä': -1e30, empty: 0 };
    const file = Buffer.concat([
      eventFileStart(1),
      scalarEvent(2, 0, scalars),
      scalarEvent(2.5, 300, { long: Number.NaN, ['x'.repeat(200)]: Number.POSITIVE_INFINITY }),
      scalarEvent(3, 2 ** 40 + 5, {}),
    ]);
    expect(frames(file).slice(1).map(decode)).toEqual([
      { time: 2, step: 0n, version: undefined, scalars: Object.entries(scalars).map(([tag, value]) => [tag, Math.fround(value)]) },
      {
        time: 2.5,
        step: 300n,
        version: undefined,
        scalars: [
          ['long', Number.NaN],
          ['x'.repeat(200), Number.POSITIVE_INFINITY],
        ],
      },
      { time: 3, step: BigInt(2 ** 40 + 5), version: undefined, scalars: [] },
    ]);
  });

  it('refuse a step that is none', () => {
    for (const step of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60])
      expect(() => scalarEvent(1, step, {})).toThrowError(/TensorBoard: step is/);
  });
});
