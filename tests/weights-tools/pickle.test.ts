import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../weights-tools/open.ts';
import { unpickle } from '../../weights-tools/pickle.ts';
import { Opaque, type PickleValue, Tuple } from '../../weights-tools/pickle-values.ts';
import { isTorchSource } from '../../weights-tools/torch-source.ts';
import { errorOf, fixture } from '../checkpoints/fixtures.ts';
import { dictProgram, raw, tensorProgram, torchZip } from './archives.ts';

const run = (program: string): PickleValue => unpickle(raw(program), { file: 'test', persistent: (id) => id }).value;
const code = async (program: string) => (await errorOf(() => run(program))).code;
const le = (value: number, bytes: number) =>
  Array.from({ length: bytes }, (_, i) => String.fromCharCode(Math.floor(value / 256 ** i) % 256)).join('');

describe('values', () => {
  it.each<[string, string, PickleValue]>([
    ['None', 'N.', null],
    ['True, False', '\x88\x89\x86.', new Tuple([true, false])],
    ['integers', `(K\xffM\xff\xffJ${le(2 ** 32 - 5, 4)}t.`, new Tuple([255, 65535, -5])],
    ['LONG1', '(\x8a\x00\x8a\x01\xff\x8a\x02\x00\x80t.', new Tuple([0, -1, -32768])],
    ['an integer beyond 2^53', `\x8a\x08${'\xff'.repeat(7)}\x7f.`, 2n ** 63n - 1n],
    ['LONG4', `\x8b${le(2, 4)}\x01\x02.`, 513],
    ['float', 'G\x3f\xf8\0\0\0\0\0\0.', 1.5],
    [
      'strings',
      `(X${le(3, 4)}\xc3\xa4b\x8c\x01cU\x01dT${le(1, 4)}\xffB${le(1, 4)}zt.`,
      new Tuple(['äb', 'c', 'd', 'ÿ', Uint8Array.of(122)]),
    ],
    ['BINUNICODE8', `\x8d${le(2, 8)}ok.`, 'ok'],
    ['lists', '](K\x01K\x02eK\x03a.', [1, 2, 3]],
    ['dictionaries', '}K\x01K\x02s(K\x03K\x04u.', new Map([[1, 2], [3, 4]])], // biome-ignore format: one case a line
    ['sets', '\x8f(K\x01K\x02\x90.', new Set([1, 2])],
    [
      'tuples',
      '()K\x01\x85K\x01K\x02\x86K\x01K\x02K\x03\x87t.',
      new Tuple([new Tuple([]), new Tuple([1]), new Tuple([1, 2]), new Tuple([1, 2, 3])]),
    ],
    ['the memo', ']q\x05h\x05r\x00\x01\x00\x00j\x00\x01\x00\x00\x87.', new Tuple([[], [], []])],
    ['MEMOIZE', 'K\x07\x94h\x00\x86.', new Tuple([7, 7])],
    ['OrderedDict', 'ccollections\nOrderedDict\n)R.', new Map()],
    ['OrderedDict of pairs', 'ccollections\nOrderedDict\n]K\x01K\x02\x86a\x85R.', new Map([[1, 2]])],
    ['a set as protocol 2 writes it', 'c__builtin__\nset\n]K\x01a\x85R.', new Set([1])],
    ['bytes as protocol 2 writes them', `c_codecs\nencode\nX${le(3, 4)}a\xc3\xbfX${le(6, 4)}latin1\x86R.`, Uint8Array.of(97, 255)],
    ['STACK_GLOBAL', '\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R.', new Map()],
    ['a device', `ctorch\ndevice\nX${le(3, 4)}cpu\x85R.`, new Opaque('torch.device', ['cpu'])],
    ['a frame', `\x80\x04\x95${le(2, 8)}K\x01.`, 1],
  ])('%s', (_, program, value) => {
    expect(run(program)).toEqual(value);
  });
  it('a persistent id goes to the reader', () => {
    expect(run('K\x05Q.')).toBe(5);
  });
  it('state on dictionaries is taken and forgotten, on a namespace it is kept', () => {
    expect(run(`ccollections\nOrderedDict\n)R}X${le(9, 4)}_metadataNsb.`)).toEqual(new Map());
    const namespace = run(`cargparse\nNamespace\n)\x81}X${le(2, 4)}lrK\x01sb.`) as Opaque;
    expect(namespace.state).toEqual(new Map([['lr', 1]]));
  });
  it('the object of nested-objects.pth is all there', async () => {
    const source = await openCheckpoint(fixture('golden/nested-objects.pth'));
    const root = (isTorchSource(source) ? source.root : null) as Map<PickleValue, PickleValue>;
    expect(root.get('neg')).toBe(-12345678901);
    expect([...root.values()].some((value) => typeof value === 'bigint')).toBe(true);
    expect([...root.values()].some((value) => value instanceof Set && value.size > 0)).toBe(true);
    expect([...root.values()].some((value) => typeof value === 'string' && value.length === 70_000)).toBe(true);
    expect((root.get('tuple') as Tuple).items).toEqual([1, 2.5, 'x', null, true]);
    expect(source.tensors.has('7')).toBe(true);
  });
});

describe('refusing', () => {
  it.each([
    'posix system',
    'os system',
    'nt system',
    'builtins eval',
    '__builtin__ eval',
    'builtins getattr',
    'builtins __import__',
    'numpy.core.multiarray scalar',
    'torch load',
    'torch._utils _rebuild_sparse_tensor',
    'collections.OrderedDict __reduce__',
    ' OrderedDict',
    '__proto__ constructor',
  ])('global %s', async (global) => {
    const [module, name] = global.split(' ') as [string, string];
    const error = await errorOf(() => run(`c${module}\n${name}\n.`));
    expect(error.code).toBe('E_CKPT_GLOBAL');
    expect(error.message).toContain(`${module.replace('__builtin__', 'builtins')}.${name}`);
    expect(await code(`\x8c${String.fromCharCode(module.length)}${module}\x8c${String.fromCharCode(name.length)}${name}\x93.`)).toBe(
      'E_CKPT_GLOBAL',
    );
  });
  it.each([
    ['INST', '(iposix\nsystem\n.', 'E_CKPT_OPCODE'],
    ['OBJ', '(o.', 'E_CKPT_OPCODE'],
    ['EXT1', '\x82\x01.', 'E_CKPT_OPCODE'],
    ['NEWOBJ_EX', '\x92.', 'E_CKPT_OPCODE'],
    ['NEXT_BUFFER', '\x97.', 'E_CKPT_OPCODE'],
    ['protocol 0 text', 'I1\n.', 'E_CKPT_OPCODE'],
    ['protocol 6', '\x80\x06N.', 'E_CKPT_OPCODE'],
    ['calling a value', 'K\x01)R.', 'E_CKPT_PICKLE'],
    ['calling a storage type', 'ctorch\nFloatStorage\n)R.', 'E_CKPT_PICKLE'],
    ['calling a dtype', 'ctorch\nfloat32\n)R.', 'E_CKPT_PICKLE'],
    ['arguments that are no tuple', 'ccollections\nOrderedDict\n]R.', 'E_CKPT_PICKLE'],
    ['state on a list', '](K\x01eNb.', 'E_CKPT_PICKLE'],
    ['appending to a tuple', ')K\x01a.', 'E_CKPT_PICKLE'],
    ['appending to a dictionary', '}K\x01a.', 'E_CKPT_PICKLE'],
    ['items on a list', ']K\x01K\x02s.', 'E_CKPT_PICKLE'],
    ['a key without a value', '}(K\x01u.', 'E_CKPT_PICKLE'],
    ['an empty stack', '.', 'E_CKPT_PICKLE'],
    ['reaching below a mark', 'K\x01(a.', 'E_CKPT_PICKLE'],
    ['a mark that is not there', 'K\x01t.', 'E_CKPT_PICKLE'],
    ['leftovers', 'K\x01K\x02.', 'E_CKPT_PICKLE'],
    ['a memo entry that is not there', 'h\x01.', 'E_CKPT_PICKLE'],
    ['remembering nothing', 'q\x01.', 'E_CKPT_PICKLE'],
    ['no STOP', 'K\x01', 'E_CKPT_PICKLE'],
    ['a string beyond the end', 'X\xff\xff\xff\x7fabc.', 'E_CKPT_PICKLE'],
    ['a string of 2^63 bytes', `\x8d${'\xff'.repeat(7)}\x7f.`, 'E_CKPT_PICKLE'],
    ['a string that is not UTF-8', 'X\x02\0\0\0\xff\xfe.', 'E_CKPT_PICKLE'],
    ['a name without an end', 'cposix', 'E_CKPT_PICKLE'],
    ['a tensor on nothing', 'ctorch._utils\n_rebuild_tensor_v2\n(NK\x00))\x89NtR.', 'E_CKPT_PICKLE'],
    ['a codec other than ours on a list', 'c_codecs\nencode\n]K\x01\x86R.', 'E_CKPT_PICKLE'],
  ])('%s', async (_, program, expected) => {
    expect(await code(program)).toBe(expected);
  });
});

describe('limits', () => {
  it('marks nested in each other', async () => {
    expect(await code('('.repeat(1000))).toBe('E_CKPT_LIMIT');
  });
  it('an integer of a kilobyte', async () => {
    expect(await code(`\x8b${le(1024, 4)}${'\x01'.repeat(1024)}.`)).toBe('E_CKPT_LIMIT');
  });
  it('values on the stack', async () => {
    expect(await code('N'.repeat(2_000_001))).toBe('E_CKPT_LIMIT');
  });
  it('byte strings repeated through the memo', async () => {
    const long = 'a'.repeat(10_000);
    const again = 'c_codecs\nencode\nh\0h\x01\x86R0'.replace('0', '').repeat(50);
    expect(await code(`(X${le(10_000, 4)}${long}q\0X${le(6, 4)}latin1q\x01${again}t.`)).toBe('E_CKPT_LIMIT');
  });
  it('lists copied through the memo', async () => {
    const items = 'N'.repeat(100_000);
    const again = 'c__builtin__\nset\nh\x00\x85R'.repeat(100);
    // Sets of one element each: what counts is what is made, not what is looked at.
    expect(run(`(](${items}eq\x00${again}t.`)).toBeInstanceOf(Tuple);
    const distinct = Array.from({ length: 60_000 }, (_, i) => `M${le(i, 2)}`).join('');
    expect(await code(`(](${distinct}eq\x00${again}t.`)).toBe('E_CKPT_LIMIT');
  });
  it('lists nested in each other a billion times', async () => {
    let program = '\x80\x02]q\x00';
    for (let level = 1; level < 20; level++)
      program += `](${`h${String.fromCharCode(level - 1)}`.repeat(10)}eq${String.fromCharCode(level)}`;
    // Only the outermost list may be left on the stack.
    program = `\x80\x02(${program.slice(2)}t.`;
    const started = performance.now();
    expect((await errorOf(openCheckpoint(torchZip(program)))).code).toBe('E_CKPT_LIMIT');
    expect(performance.now() - started).toBeLessThan(5000);
  });
  it('a dictionary inside itself', async () => {
    expect((await errorOf(openCheckpoint(torchZip('\x80\x02}q\x00K\x01h\x00s.')))).code).toBe('E_CKPT_LIMIT');
  });
});

describe('tensors', () => {
  const four = { '0': new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer) };
  const open = (shape: number[], stride: number[], offset = 0) =>
    openCheckpoint(torchZip(dictProgram('w', tensorProgram('0', 4, shape, stride, offset)), four));
  it.each<[string, number[], number[], number, number[]]>([
    ['whole', [4], [1], 0, [1, 2, 3, 4]],
    ['transposed', [2, 2], [1, 2], 0, [1, 3, 2, 4]],
    ['every other', [2], [2], 1, [2, 4]],
    ['expanded', [2, 3], [1, 0], 1, [2, 2, 2, 3, 3, 3]],
    ['a scalar', [], [], 3, [4]],
    ['empty, wherever it claims to lie', [0, 9], [7, 7], 100, []],
    ['one row of any stride', [1, 2], [999, 1], 2, [3, 4]],
    ['three dimensions', [2, 1, 2], [2, 5, 1], 0, [1, 2, 3, 4]],
  ])('%s', async (_, shape, stride, offset, values) => {
    const source = await open(shape, stride, offset);
    expect([...(await source.readFloat32('w'))]).toEqual(values);
    expect(source.tensors.get('w')).toEqual({ name: 'w', dtype: 'f32', shape });
  });
  it.each<[string, number[], number[], number]>([
    ['one element too far', [4], [1], 1],
    ['a stride out of the storage', [2], [4], 0],
    ['extents whose product overflows', [2 ** 30, 2 ** 30, 2 ** 30], [1, 1, 1], 0],
    ['an offset outside', [1], [1], 4],
  ])('outside its storage: %s', async (_, shape, stride, offset) => {
    expect((await errorOf(open(shape, stride, offset))).code).toBe('E_CKPT_STORAGE');
  });
  it.each<[string, number[], number[], number]>([
    ['negative stride', [2], [-1], 1],
    ['negative offset', [1], [1], -1],
    ['more sizes than strides', [2, 2], [1], 0],
  ])('malformed: %s', async (_, shape, stride, offset) => {
    expect((await errorOf(open(shape, stride, offset))).code).toBe('E_CKPT_PICKLE');
  });
  it('an expansion to gigabytes is refused before it is made', async () => {
    const source = await open([2 ** 30], [0]);
    expect((await errorOf(source.readBytes('w'))).code).toBe('E_CKPT_LIMIT');
    expect((await errorOf(open(new Array(65).fill(1), new Array(65).fill(1)))).code).toBe('E_CKPT_LIMIT');
  });
  it('a big-endian file', async () => {
    const swapped = { '0': four['0'].slice() };
    for (let i = 0; i < 16; i += 4) swapped['0'].subarray(i, i + 4).reverse();
    const program = dictProgram('w', tensorProgram('0', 4, [2, 2], [1, 2]));
    const source = await openCheckpoint(torchZip(program, swapped, [{ name: 'a/byteorder', content: raw('big') }]));
    expect([...(await source.readFloat32('w'))]).toEqual([1, 3, 2, 4]);
    expect((await errorOf(openCheckpoint(torchZip(program, four, [{ name: 'a/byteorder', content: raw('middle') }])))).code).toBe(
      'E_CKPT_ZIP',
    );
  });
  it('names that objects have by themselves are names like others', async () => {
    const one = (name: string) => `X${String.fromCharCode(name.length)}\0\0\0${name}${tensorProgram('0', 4, [4], [1])}`;
    const names = ['__proto__', 'constructor', 'hasOwnProperty'];
    const source = await openCheckpoint(torchZip(`\x80\x02}(${names.map(one).join('')}u.`, four));
    expect([...source.tensors.keys()]).toEqual(names);
    for (const name of names) expect([...(await source.readFloat32(name))]).toEqual([1, 2, 3, 4]);
    expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('0');
  });
  it('other zip archives are called what they are', async () => {
    const script = torchZip(dictProgram('w', 'N'), {}, [{ name: 'a/constants.pkl', content: raw(').') }]);
    expect((await errorOf(openCheckpoint(script))).details.kind).toBe('torchscript');
    const { zip } = await import('./archives.ts');
    expect((await errorOf(openCheckpoint(zip([{ name: 'word/document.xml', content: raw('<x/>') }])))).details.kind).toBe('zip');
  });
  it('a storage described in two ways, or of another size than its member', async () => {
    const two = `\x80\x02(${tensorProgram('0', 4, [4], [1])}${tensorProgram('0', 3, [3], [1])}t.`;
    expect((await errorOf(openCheckpoint(torchZip(two, four)))).code).toBe('E_CKPT_STORAGE');
    const longer = torchZip(dictProgram('w', tensorProgram('0', 3, [3], [1])), four);
    expect((await errorOf(openCheckpoint(longer))).code).toBe('E_CKPT_STORAGE');
  });
});
