import { openAsBlob } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openSafetensors, planSafetensors, streamSafetensors, type TensorData, writeSafetensors } from '../../src/checkpoints/index.ts';
import { collect, errorOf, fixture, fixturePath } from './fixtures.ts';

/** A file from header text and data, the length prefix right unless given. */
function file(header: string, data = 0, length?: bigint): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + data);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}
const code = async (bytes: Uint8Array) => (await errorOf(openSafetensors(bytes))).code;
const tensor = (shape: string, begin: number, end: number, dtype = 'F32') =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;

describe('reading safetensors', () => {
  it('reads every dtype and name of a file of the Python library', async () => {
    const source = await openSafetensors(fixture('library.safetensors'));
    expect(source.tensors.size).toBe(16 * 3 + 14);
    expect(source.metadata).toEqual(new Map([['format', 'pt']]));
    for (const name of ['größe.重み', '😀', '__proto__', 'constructor', '', 'a"b\\c', 'tab\tnl\n\x01\x1f\x7f']) {
      expect([...(await source.readFloat32(name))], name).toEqual([1]);
    }
    expect(source.tensors.get('bfloat16.2.6')).toEqual({ name: 'bfloat16.2.6', dtype: 'bf16', shape: [2, 3] });
    expect(source.tensors.get('float32.0.1')!.shape).toEqual([]);
    expect(await source.readFloat32('float64.2.0')).toEqual(new Float32Array(0));
    for (const name of source.tensors.keys()) {
      const { dtype } = source.tensors.get(name)!;
      if (dtype.startsWith('f8') || dtype === 'c64') expect((await errorOf(source.readFloat32(name))).code).toBe('E_CKPT_DTYPE');
      else await source.readFloat32(name);
    }
  });

  it('converts every number type as JavaScript does', async () => {
    const cases: [string, ArrayBufferView, number[]][] = [
      ['f64', Float64Array.of(0.1, -1e-300), [Math.fround(0.1), -0]],
      ['i64', BigInt64Array.of(-(2n ** 62n), 2n ** 53n + 1n), [-(2 ** 62), 2 ** 53]],
      ['u64', BigUint64Array.of(2n ** 63n), [2 ** 63]],
      ['i32', Int32Array.of(-5, 2 ** 31 - 1), [-5, 2 ** 31]],
      ['u32', Uint32Array.of(2 ** 32 - 1), [2 ** 32]],
      ['i16', Int16Array.of(-32768), [-32768]],
      ['u16', Uint16Array.of(65535), [65535]],
      ['i8', Int8Array.of(-128), [-128]],
      ['u8', Uint8Array.of(255), [255]],
      ['bool', Uint8Array.of(0, 1, 7), [0, 1, 1]],
    ];
    const tensors = cases.map(
      ([dtype, data, values]): TensorData => ({
        name: dtype,
        dtype,
        shape: [values.length],
        data: new Uint8Array(data.buffer as ArrayBuffer),
      }),
    );
    const source = await openSafetensors(await collect(writeSafetensors(tensors)));
    for (const [dtype, , values] of cases) expect([...(await source.readFloat32(dtype))], dtype).toEqual(values);
  });

  it('reads a Blob piece by piece, reports progress and obeys a signal', async () => {
    const blob = await openAsBlob(fixturePath('library.safetensors'));
    const seen: number[] = [];
    const abort = new AbortController();
    const source = await openSafetensors(blob, { onProgress: ({ loaded, total }) => seen.push(loaded / total), signal: abort.signal });
    await source.readBytes('z');
    expect(seen).toHaveLength(3);
    expect(seen.at(-1)).toBeLessThan(1);
    abort.abort(new Error('enough'));
    await expect(source.readBytes('z')).rejects.toThrow('enough');
  });

  it('names the file and the tensor in its errors', async () => {
    const error = await errorOf(openSafetensors(file(`{"a":${tensor('[5]', 0, 16)}}`, 16), { fileName: 'm.safetensors' }));
    expect(error.message).toContain('m.safetensors');
    expect(error.message).toContain('"a" of F32 [5] needs 20 bytes');
    const source = await openSafetensors(fixture('library.safetensors'));
    expect((await errorOf(source.readBytes('nobody'))).code).toBe('E_CKPT_ARCH');
  });
});

describe('rules of the format', () => {
  const good = `"a":${tensor('[2]', 0, 8)}`;
  it.each([
    ['empty', new Uint8Array(0), 'E_ST_HEADER'],
    ['header longer than the file', file('{}', 0, 100n), 'E_ST_HEADER'],
    ['header beyond the limit', file('{}', 0, 2n ** 60n), 'E_ST_HEADER'],
    ['leading space', file(` {${good}}`, 8), 'E_ST_HEADER'],
    ['not JSON', file('{"a":', 8), 'E_ST_HEADER'],
    ['comma before the end', file(`{${good},}`, 8), 'E_ST_HEADER'],
    ['text after the end', file(`{${good}} x`, 8), 'E_ST_HEADER'],
    ['an array', file('[1,2,3,4]', 0), 'E_ST_HEADER'],
    ['not UTF-8', new Uint8Array([4, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0xfe, 0x7d]), 'E_ST_HEADER'],
    ['a number with a leading zero', file(`{"a":{"dtype":"F32","shape":[02],"data_offsets":[0,8]}}`, 8), 'E_ST_HEADER'],
    ['deep nesting', file(`{"a":${'['.repeat(50_000)}`, 0), 'E_ST_HEADER'],
    ['metadata that is no text', file(`{"__metadata__":{"a":1},${good}}`, 8), 'E_ST_HEADER'],
    ['no dtype', file('{"a":{"shape":[2],"data_offsets":[0,8]}}', 8), 'E_ST_HEADER'],
    ['two fields of one name', file('{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8), 'E_ST_HEADER'],
    ['two tensors of one name', file(`{${good},${good}}`, 8), 'E_ST_DUPLICATE'],
    ['one name spelled twice', file(`{${good},"\\u0061":${tensor('[2]', 8, 16)}}`, 16), 'E_ST_DUPLICATE'],
    ['unknown dtype', file(`{"a":${tensor('[2]', 0, 8, 'Q7')}}`, 8), 'E_ST_DTYPE'],
    ['a prototype as dtype', file(`{"a":${tensor('[2]', 0, 8, '__proto__')}}`, 8), 'E_ST_DTYPE'],
    ['negative extent', file(`{"a":${tensor('[-2]', 0, 8)}}`, 8), 'E_ST_SHAPE'],
    ['fraction as extent', file(`{"a":${tensor('[2.5]', 0, 8)}}`, 8), 'E_ST_SHAPE'],
    ['extents that overflow', file(`{"a":${tensor('[4294967296,4294967296,4294967296,4294967296]', 0, 0)}}`, 0), 'E_ST_SHAPE'],
    ['size that does not follow from the shape', file(`{"a":${tensor('[3]', 0, 8)}}`, 8), 'E_ST_SHAPE'],
    ['half a byte', file(`{"a":${tensor('[3]', 0, 1, 'F4')}}`, 1), 'E_ST_SHAPE'],
    ['offsets that run backwards', file(`{"a":${tensor('[2]', 8, 0)}}`, 8), 'E_ST_RANGE'],
    ['far outside', file(`{"a":${tensor('[2]', 800, 808)}}`, 8), 'E_ST_RANGE'],
    ['overlap', file(`{${good},"b":${tensor('[2]', 4, 12)}}`, 12), 'E_ST_OVERLAP'],
    ['the same bytes twice', file(`{${good},"b":${tensor('[2]', 0, 8)}}`, 8), 'E_ST_OVERLAP'],
    ['a hole', file(`{${good},"b":${tensor('[1]', 12, 16)}}`, 16), 'E_ST_HOLE'],
    ['bytes at the end', file(`{${good}}`, 12), 'E_ST_HOLE'],
    ['cut off', file(`{${good}}`, 4), 'E_CKPT_TRUNCATED'],
  ] as const)('%s', async (_, bytes, expected) => {
    expect(await code(bytes)).toBe(expected);
  });
  it.each([
    ['no tensors', file('{}')],
    ['any order in the header', file(`{"b":${tensor('[1]', 8, 12)},${good}}`, 12)],
    ['space inside and at the end', file(`{ "a" :\n${tensor('[ 2 ]', 0, 8)} }   `, 8)],
    ['a field of a later version', file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":[{"y":null}]}}', 8)],
    ['empty tensors anywhere', file(`{${good},"e":${tensor('[0,9]', 0, 0)},"f":${tensor('[0]', 8, 8)}}`, 8)],
  ])('accepts %s', async (_, bytes) => {
    await openSafetensors(bytes);
  });
});

describe('writing safetensors', () => {
  it('gives the bytes of the Python library for the same tensors, in whatever order they come', async () => {
    const bytes = fixture('library.safetensors');
    const source = await openSafetensors(bytes);
    const tensors: TensorData[] = [];
    for (const info of source.tensors.values()) tensors.push({ ...info, data: await source.readBytes(info.name) });
    for (const order of [tensors, tensors.toReversed(), tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1))]) {
      expect(Buffer.compare(await collect(writeSafetensors(order)), bytes)).toBe(0);
    }
    expect(Buffer.compare(await collect(streamSafetensors(tensors, (info) => source.readBytes(info.name))), bytes)).toBe(0);
    expect(planSafetensors(tensors).fileBytes).toBe(bytes.length);
  });
  it('rounds float32 values to the asked type', async () => {
    const data = Float32Array.of(1.0001, -3);
    const bytes = await collect(writeSafetensors(['f32', 'f16', 'bf16', 'f64'].map((dtype) => ({ name: dtype, dtype, shape: [2], data }))));
    const source = await openSafetensors(bytes);
    expect([...(await source.readFloat32('f32'))]).toEqual([Math.fround(1.0001), -3]);
    expect([...(await source.readFloat32('f64'))]).toEqual([Math.fround(1.0001), -3]);
    expect([...(await source.readFloat32('f16'))]).toEqual([1, -3]);
    expect([...(await source.readFloat32('bf16'))]).toEqual([1, -3]);
  });
  it.each([
    ['E_ST_SHAPE', { name: 'a', dtype: 'f32', shape: [3], data: new Float32Array(2) }],
    ['E_ST_SHAPE', { name: 'a', dtype: 'f32', shape: [-1], data: new Float32Array(1) }],
    ['E_ST_DTYPE', { name: 'a', dtype: 'q7', shape: [1], data: new Uint8Array(1) }],
    ['E_ST_HEADER', { name: '__metadata__', dtype: 'f32', shape: [1], data: new Float32Array(1) }],
    ['E_CKPT_DTYPE', { name: 'a', dtype: 'i32', shape: [1], data: new Float32Array(1) }],
  ] as const)('refuses with %s', async (expected, tensor) => {
    expect((await errorOf(() => collect(writeSafetensors([tensor])))).code).toBe(expected);
  });
  it('refuses two tensors of one name', async () => {
    const one = { name: 'a', dtype: 'f32', shape: [1], data: new Float32Array(1) };
    expect((await errorOf(() => collect(writeSafetensors([one, one])))).code).toBe('E_ST_DUPLICATE');
  });
});
