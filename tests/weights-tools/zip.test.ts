import { describe, expect, it } from 'vitest';
import { openFile } from '../../src/checkpoints/index.ts';
import { crc32 } from '../../weights-tools/crc32.ts';
import { openZip } from '../../weights-tools/zip.ts';
import { errorOf } from '../checkpoints/fixtures.ts';
import { fields, zip } from './archives.ts';

const open = (bytes: Uint8Array) => openZip(openFile(bytes));
const content = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7) % 251);
const a = { name: 'a', content };

async function readBack(bytes: Uint8Array, name = 'a', begin?: number, end?: number): Promise<Uint8Array> {
  const archive = await open(bytes);
  return archive.read(archive.entries.get(name)!, begin, end);
}

describe('crc32', () => {
  it('has the check value of its definition, and continues', () => {
    const bytes = new TextEncoder().encode('123456789');
    expect(crc32(bytes)).toBe(0xcbf43926);
    for (let cut = 0; cut <= 9; cut++) expect(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut)))).toBe(0xcbf43926);
    expect(crc32(new Uint8Array(0))).toBe(0);
  });
});

describe('reading members', () => {
  it.each([false, true])('whole and in part, deflated: %s', async (deflate) => {
    const bytes = zip([
      { name: 'first', content: new Uint8Array(3) },
      { ...a, deflate },
    ]);
    expect(await readBack(bytes)).toEqual(content);
    expect(await readBack(bytes, 'a', 10, 20)).toEqual(content.slice(10, 20));
    expect(await readBack(bytes, 'a', 1000, 1000)).toEqual(new Uint8Array(0));
  });
  it('an empty member, an archive comment, a prefix in front of the first header', async () => {
    expect(await readBack(zip([{ name: 'a', content: new Uint8Array(0) }]))).toHaveLength(0);
    expect(await readBack(zip([a], { comment: 'PK\x05\x06 is not the end' }))).toEqual(content);
    expect(await readBack(zip([{ ...a, gap: 100 }]))).toEqual(content);
  });
  it('names are Map keys', async () => {
    expect(await readBack(zip([{ name: '__proto__', content }]), '__proto__')).toEqual(content);
  });
  it('zip64: sizes and places in the wide record', async () => {
    const plain = zip([a]);
    const start = new DataView(plain.buffer).getUint32(plain.length - 6, true);
    const entries = plain.slice(start, plain.length - 22);
    new DataView(entries.buffer).setUint32(42, 0xffffffff, true); // local header offset
    new DataView(entries.buffer).setUint16(30, 12, true); // extra length
    const extra = fields([2, 1], [2, 8], [8, 0]);
    const size = entries.length + extra.length;
    const record = fields([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, 1], [8, 1], [8, size], [8, start]);
    const locator = fields([4, 0x07064b50], [4, 0], [8, start + size], [4, 1]);
    const end = fields([4, 0x06054b50], [2, 0xffff], [2, 0xffff], [2, 0xffff], [2, 0xffff], [4, 0xffffffff], [4, 0xffffffff], [2, 0]);
    const wide = Buffer.concat([plain.slice(0, start), entries, extra, record, locator, end]);
    expect(await readBack(new Uint8Array(wide))).toEqual(content);
  });
});

describe('refusing', () => {
  const other = { name: 'b', content };
  it.each([
    ['no directory', zip([a]).slice(0, -1), 'E_CKPT_TRUNCATED'],
    ['encrypted', zip([{ ...a, flags: 0x801 }]), 'E_CKPT_ZIP'],
    ['several disks', zip([a], { disk: 1 }), 'E_CKPT_ZIP'],
    ['unknown compression', zip([{ ...a, method: 12 }]), 'E_CKPT_ZIP'],
    ['two members of one name', zip([a, a]), 'E_CKPT_ZIP'],
    ['one member twice', zip([a, { ...other, offset: 0 }]), 'E_CKPT_ZIP'],
    ['overlapping members', zip([a, { ...other, offset: 500 }]), 'E_CKPT_ZIP'],
    ['a member behind the directory', zip([{ ...a, offset: 5000 }]), 'E_CKPT_ZIP'],
    ['a stored member of two sizes', zip([{ ...a, size: 999 }]), 'E_CKPT_ZIP'],
    ['a deflate bomb by its own account', zip([{ ...a, deflate: true, size: 2 ** 31 }]), 'E_CKPT_ZIP'],
    ['a directory outside the file', zip([a], { offset: 90_000 }), 'E_CKPT_ZIP'],
    ['more entries than the directory has', zip([a], { count: 2 }), 'E_CKPT_ZIP'],
    ['fewer entries than the directory has', zip([a, other], { count: 1 }), 'E_CKPT_ZIP'],
  ] as const)('%s', async (_, bytes, code) => {
    expect((await errorOf(open(bytes))).code).toBe(code);
  });
  it.each([
    ['wrong CRC', { ...a, crc: 1 }, 'E_CKPT_CRC'],
    ['wrong CRC, deflated', { ...a, deflate: true, crc: 1 }, 'E_CKPT_CRC'],
    ['another name in the local header', { ...a, localName: 'x' }, 'E_CKPT_ZIP'],
    ['a longer name in the local header', { ...a, localName: 'aa' }, 'E_CKPT_ZIP'],
    ['inflates to less', { ...a, deflate: true, size: 1001 }, 'E_CKPT_ZIP'],
    ['inflates to more', { ...a, deflate: true, size: 10 }, 'E_CKPT_ZIP'],
    ['no deflate data', { ...a, method: 8 }, 'E_CKPT_ZIP'],
  ] as const)('when read: %s', async (_, member, code) => {
    const bytes = zip([member]);
    expect((await errorOf(readBack(bytes))).code).toBe(code);
    // A part of a damaged member is as damaged.
    expect((await errorOf(readBack(bytes, 'a', 1, 2))).code).toBe(code);
  });
});
