import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../weights-tools/open.ts';
import { selectStateDict } from '../../weights-tools/select.ts';
import { type PthTensor, type PthValue, pthTensor, writePth } from '../../weights-tools/write-pth.ts';
import { collect, errorOf, fixture, sha256, sourceOf } from '../checkpoints/fixtures.ts';

const tensor = (values: number[], shape = [values.length]): PthTensor => ({
  dtype: 'f32',
  shape,
  read: () => new Uint8Array(Float32Array.from(values).buffer),
});
const open = async (root: PthValue, options?: { zip64?: boolean }) => openCheckpoint(await collect(writePth(root, options)));

describe('writing .pth', () => {
  it.each([false, true])('every dtype comes back bit by bit, zip64: %s', async (zip64) => {
    const source = await openCheckpoint(fixture('golden/dtypes-and-views.pth'));
    const state = new Map([...source.tensors.values()].map((info) => [info.name, pthTensor(info, () => source.readBytes(info.name))]));
    const back = await open(state, { zip64 });
    expect([...back.tensors.values()]).toEqual([...source.tensors.values()]);
    for (const name of source.tensors.keys()) expect(sha256(await back.readBytes(name)), name).toBe(sha256(await source.readBytes(name)));
  });
  it('the same tensors give the same bytes, and data starts on multiples of 64', async () => {
    const root = () => new Map([['größe', tensor([1, 2, 3])], ['b', tensor([4])]]); // biome-ignore format: short
    const bytes = await collect(writePth(root()));
    expect(Buffer.compare(bytes, await collect(writePth(root())))).toBe(0);
    for (const values of [[1, 2, 3], [4]]) {
      const at = Buffer.from(bytes).indexOf(Buffer.from(Float32Array.from(values).buffer));
      expect(at % 64).toBe(0);
    }
  });
  it('one tensor named twice is one storage', async () => {
    const state = new Map([['w', tensor([1, 2])]]);
    let reads = 0;
    state.set('w', { ...tensor([1, 2]), read: () => new Uint8Array(Float32Array.of(++reads, 2).buffer) });
    const back = await open(new Map<string, PthValue>([['model', state], ['ema', new Map<string, PthValue>([['module', state]])]])); // biome-ignore format: short
    expect([...back.tensors.keys()]).toEqual(['model.w', 'ema.module.w']);
    expect([...(await back.readFloat32('ema.module.w'))]).toEqual([1, 2]);
    expect(reads).toBe(1);
  });
  it('values beside the tensors', async () => {
    const back = await open(new Map<string, PthValue>([['date', 'ä'], ['epoch', 71], ['neg', -7], ['big', 2 ** 40], ['half', 0.5], ['yes', true], ['none', null], ['list', [1, 'a']]])); // biome-ignore format: short
    expect([...back.metadata]).toEqual([['date', 'ä'], ['epoch', '71'], ['neg', '-7'], ['big', String(2 ** 40)], ['half', '0.5'], ['yes', 'true']]); // biome-ignore format: short
  });
  it('refuses what PyTorch has no storage for, and data of another size', async () => {
    expect((await errorOf(open(new Map([['w', { ...tensor([1]), dtype: 'u16' }]])))).code).toBe('E_CKPT_DTYPE');
    expect((await errorOf(open(new Map([['w', tensor([1], [2])]])))).code).toBe('E_CKPT_STORAGE');
  });
});

describe('choosing the weights', () => {
  const state = (value: number) => new Map([['a.weight', tensor([value])], ['b', tensor([value])]]); // biome-ignore format: short
  const choose = async (root: PthValue) => {
    const { source, path, leftAside } = selectStateDict(await open(root));
    return { names: [...source.tensors.keys()], path, leftAside, value: (await source.readFloat32('a.weight'))[0] };
  };
  const names = ['a.weight', 'b'];
  it.each<[string, PthValue, object]>([
    ['bare', state(1), { names, path: '', leftAside: 0, value: 1 }],
    ['model', new Map<string, PthValue>([['model', state(1)], ['epoch', 3]]), { names, path: 'model', leftAside: 0, value: 1 }], // biome-ignore format: one case a line
    ['state_dict', new Map<string, PthValue>([['state_dict', state(1)]]), { names, path: 'state_dict', leftAside: 0, value: 1 }],
    ['EMA before model', new Map<string, PthValue>([['model', state(1)], ['ema', new Map<string, PthValue>([['module', state(2)]])]]), { names, path: 'ema.module', leftAside: 2, value: 2 }], // biome-ignore format: one case a line
    ['an EMA that is null', new Map<string, PthValue>([['model', state(1)], ['ema', null]]), { names, path: 'model', leftAside: 0, value: 1 }], // biome-ignore format: one case a line
    ['module. of DistributedDataParallel', new Map<string, PthValue>([['model', new Map([...state(1)].map(([name, value]) => [`module.${name}`, value] as const))]]), { names, path: 'model', leftAside: 0, value: 1 }], // biome-ignore format: one case a line
  ])('%s', async (_, root, expected) => {
    expect(await choose(root)).toEqual(expected);
  });
  it('the real wrappings', async () => {
    expect(selectStateDict(await openCheckpoint(fixture('torch213/data_parallel.pth'))).source.tensors.has('conv1.weight')).toBe(true);
    const trained = selectStateDict(await openCheckpoint(fixture('torch213/rtdetr_like.pth')));
    expect([trained.path, trained.source.tensors.size, trained.leftAside]).toEqual(['ema.module', 8, 14]);
    expect(
      selectStateDict(await openCheckpoint(fixture('golden/ddp-prefixed.pth'))).source.tensors.has('backbone.conv1.conv1_1.conv.weight'),
    ).toBe(true);
    expect(selectStateDict(await openCheckpoint(fixture('golden/training-state.pth'))).path).toBe('ema.module');
  });
  it('a flat file whose own names begin with model. is left as it is', () => {
    const source = sourceOf([['model.backbone.model.x', [1]], ['model.y', [1]]]); // biome-ignore format: short
    expect(selectStateDict(source).source).toBe(source);
  });
});
