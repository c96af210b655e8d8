/**
 * Random damage: whatever a file holds, the readers end with tensors or with one of our errors, soon, without allocating more
 * than the file warrants and without touching a prototype. A short slice runs with the tests; `BACKDROP_FUZZ=150000` sets the
 * number of cases for a long run (`npm run fuzz`), which chooses a new seed each time and prints it.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BackdropError } from '../../src/errors.ts';
import { inspectCheckpoint } from '../../weights-tools/inspect.ts';
import { openCheckpoint } from '../../weights-tools/open.ts';
import { type FileCase, fixture, fixtureJson } from '../checkpoints/fixtures.ts';
import { dictProgram, tensorProgram, torchZip, zip } from './archives.ts';

const long = Number(process.env.BACKDROP_FUZZ ?? 0);
const total = long || 1500;
/** Fixed for the short slice, so that npm test is the same every time. */
const seed = long ? Date.now() & 0x7fffffff : 20240229;
const timeout = long ? 3_600_000 : 60_000;

const outcomes = new Map<string, number>();
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown) => unhandled.push(reason);
beforeAll(() => {
  process.on('unhandledRejection', onUnhandled);
});
afterAll(async () => {
  await new Promise((resolve) => setTimeout(resolve, 50));
  process.off('unhandledRejection', onUnhandled);
  expect(unhandled).toEqual([]);
  if (long) console.log(`seed ${seed}:`, Object.fromEntries([...outcomes].sort((a, b) => b[1] - a[1])));
});

/** Opens, reads every tensor, and checks the promises of the header comment. */
async function survive(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const started = performance.now();
  let largest = 0;
  let outcome = 'loaded';
  try {
    const reader = {
      size: bytes.length,
      read: async (begin: number, end: number) => {
        largest = Math.max(largest, end - begin);
        return bytes.slice(begin, end);
      },
    };
    const source = await openCheckpoint(reader);
    for (const name of source.tensors.keys()) {
      try {
        largest = Math.max(largest, (await source.readBytes(name)).length);
      } catch (error) {
        if (!(error instanceof BackdropError)) throw error;
      }
    }
    await inspectCheckpoint(source, { values: false });
  } catch (error) {
    if (!(error instanceof BackdropError)) throw error;
    if (error.message === '' || !error.message.includes('checkpoint')) throw new Error(`a poor message: ${error.message}`);
    outcome = error.code;
  }
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  if (largest > 2 * bytes.length + 2 ** 20) throw new Error(`${largest} bytes allocated for a file of ${bytes.length}`);
  if (performance.now() - started > 5000) throw new Error('slow');
  for (const value of [{}, [], () => {}, new Map()]) for (const key in value) throw new Error(`prototype polluted with ${key}`);
}

const u32 = fc.oneof(fc.constantFrom(0, 1, 2, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff), fc.nat(0xffffffff));
/** Evenly over the file: fc.double spreads evenly over exponents, which would hit nothing but the first byte. */
const uniform = fc.noBias(fc.integer({ min: 0, max: 2 ** 30 - 1 })).map((n) => n / 2 ** 30);
/** Changes at a place given as a fraction of the file, so that shrinking and files of any size work. */
const mutation = fc.tuple(
  fc.oneof({ weight: 9, arbitrary: uniform }, { weight: 1, arbitrary: uniform.map((x) => 1 - x / 50) }),
  fc.constantFrom('flip', 'set', 'u32', 'cut', 'insert', 'remove', 'copy', 'zero'),
  u32,
  fc.nat(64),
);

function mutate(bytes: Uint8Array, changes: readonly [number, string, number, number][]): Uint8Array<ArrayBuffer> {
  let out = new Uint8Array(bytes);
  for (const [place, kind, value, length] of changes) {
    const at = Math.min(Math.floor(place * out.length), Math.max(0, out.length - 1));
    const view = new DataView(out.buffer);
    if (kind === 'flip' && out.length) out[at]! ^= 1 << (value & 7);
    else if (kind === 'set' && out.length) out[at] = value;
    else if (kind === 'u32' && at + 4 <= out.length) view.setUint32(at, value, true);
    else if (kind === 'cut') out = out.slice(0, at);
    else if (kind === 'zero') out.fill(0, at, at + length);
    else if (kind === 'insert') out = new Uint8Array(Buffer.concat([out.slice(0, at), new Uint8Array(length).fill(value), out.slice(at)]));
    else if (kind === 'remove') out = new Uint8Array(Buffer.concat([out.slice(0, at), out.slice(at + length)]));
    else if (kind === 'copy') out.copyWithin(at, value % Math.max(1, out.length), (value % Math.max(1, out.length)) + length);
  }
  return out;
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

const files = fixtureJson<FileCase[]>('files.json')
  .map(({ file }) => fixture(file))
  .filter((bytes) => bytes.length < 15_000);
files.push(fixture('library.safetensors'));

/** Pickle fragments: everything the machine knows, and some it does not. */
const fragments = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...'N()]}\x8f\x88\x89(tesuba\x85\x86\x87RbQ\x81\x93\x94\x90\x91ld.0'.split('')) },
  { weight: 2, arbitrary: fc.nat(255).map((n) => `K${String.fromCharCode(n)}`) },
  { weight: 1, arbitrary: fc.nat(3).map((n) => `h${String.fromCharCode(n)}`) },
  { weight: 1, arbitrary: fc.nat(3).map((n) => `q${String.fromCharCode(n)}`) },
  {
    weight: 1,
    arbitrary: fc
      .string({ maxLength: 9 })
      .map((s) => `X${String.fromCharCode(Buffer.byteLength(s))}\0\0\0${Buffer.from(s).toString('latin1')}`),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(
        'collections\nOrderedDict',
        '__builtin__\nset',
        'torch\nFloatStorage',
        'torch._utils\n_rebuild_tensor_v2',
        'posix\nsystem',
        '_codecs\nencode',
        'argparse\nNamespace',
      )
      .map((g) => `c${g}\n`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.nat(5), fc.array(fc.tuple(fc.oneof(fc.nat(4), u32), fc.oneof(fc.nat(4), u32)), { maxLength: 4 }), fc.nat(6))
      .map(([elements, dims, offset]) => tensorProgram('0', elements, dims.map(([size]) => size), dims.map(([, stride]) => stride), offset)), // biome-ignore format: one line
  },
  { weight: 1, arbitrary: fc.nat(255).map((n) => String.fromCharCode(n)) },
);

const share = (part: number): number => Math.ceil(total * part);
const options = (part: number) => ({ numRuns: share(part), seed, endOnFailure: long > 0 });

describe(`fuzzing, ${total} cases`, () => {
  it(
    'damaged files of every kind',
    async () => {
      const cases = fc.tuple(fc.constantFrom(...files), fc.array(mutation, { minLength: 1, maxLength: 4 }));
      await fc.assert(fc.asyncProperty(cases, ([bytes, changes]) => survive(mutate(bytes, changes))), options(0.4)); // biome-ignore format: short
    },
    timeout,
  );

  it(
    'damaged pickles inside sound archives',
    async () => {
      const programs = [
        dictProgram('w', tensorProgram('0', 4, [2, 2], [2, 1])),
        `\x80\x02ccollections\nOrderedDict\n)R(${['a', 'b'].map((name) => `X\x01\0\0\0${name}${tensorProgram('0', 4, [4], [1])}`).join('')}u}X\x09\0\0\0_metadata}sb.`,
      ];
      const cases = fc.tuple(fc.constantFrom(...programs), fc.array(mutation, { minLength: 1, maxLength: 4 }));
      const property = fc.asyncProperty(cases, ([program, changes]) =>
        survive(torchZip(latin1(mutate(Buffer.from(program, 'latin1'), changes)), { '0': new Uint8Array(16) })),
      );
      await fc.assert(property, options(0.2));
    },
    timeout,
  );

  it(
    'pickles out of nothing',
    async () => {
      const property = fc.asyncProperty(fc.array(fragments, { maxLength: 60 }), (parts) =>
        survive(torchZip(`\x80\x02${parts.join('')}.`, { '0': new Uint8Array(12) })),
      );
      await fc.assert(property, options(0.2));
    },
    timeout,
  );

  it(
    'safetensors headers',
    async () => {
      const number = fc.oneof(fc.nat(40), fc.constantFrom(-1, 1.5, 1e300, 2 ** 53, '"4"', 'null', '00', '1e1'));
      const name = fc.constantFrom('a', 'b', '__proto__', '\\u0061', '__metadata__', 'constructor', '');
      const entry = fc
        .tuple(
          name,
          fc.constantFrom('F32', 'F16', 'BOOL', 'F4', 'I64', 'C64', 'Q9', 'toString'),
          fc.array(number, { maxLength: 3 }),
          number,
          number,
        )
        .map(([key, dtype, shape, begin, end]) => `"${key}":{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`);
      const cases = fc.tuple(
        fc.array(entry, { maxLength: 4 }),
        fc.nat(64),
        fc.array(mutation, { maxLength: 2 }),
        fc.oneof(fc.constant(undefined), fc.bigInt(0n, 2n ** 64n - 1n)),
      );
      const property = fc.asyncProperty(cases, ([entries, data, changes, length]) => {
        const json = mutate(Buffer.from(`{${entries.join(',')}}`), changes);
        const prefix = new Uint8Array(8);
        new DataView(prefix.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
        return survive(new Uint8Array(Buffer.concat([prefix, json, new Uint8Array(data)])));
      });
      await fc.assert(property, options(0.15));
    },
    timeout,
  );

  it(
    'deflated members',
    async () => {
      const program = Buffer.from(dictProgram('w', tensorProgram('0', 64, [64], [1])), 'latin1');
      const archive = zip([{ name: 'a/data.pkl', content: program, deflate: true }, { name: 'a/data/0', content: new Uint8Array(256), deflate: true }]); // biome-ignore format: short
      const property = fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 3 }), (changes) => survive(mutate(archive, changes)));
      await fc.assert(property, options(0.05));
    },
    timeout,
  );
});
