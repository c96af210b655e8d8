import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { writeSafetensors } from '../../src/checkpoints/index.ts';
import { type CommandArgs, type CommandIo, checkpointCommands } from '../../weights-tools/commands.ts';
import { writeFileAtomically } from '../../weights-tools/node-files.ts';
import { collect, errorOf, fixturePath, modelKeys, sourceOf } from '../checkpoints/fixtures.ts';

const top = mkdtempSync(join(tmpdir(), 'backdrop-commands-'));
afterAll(() => rmSync(top, { recursive: true }));
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(top, 'case-'));
});
const at = (name: string) => join(directory, name);

const { convert, inspect } = checkpointCommands({
  names: () => ['tiny-v1'],
  expected: (name) => (name === 'tiny-v1' ? modelKeys(name) : undefined),
});

function makeIo(abort = new AbortController()) {
  const [out, err]: [string[], string[]] = [[], []];
  const emitted: unknown[] = [];
  const io: CommandIo = {
    json: false,
    signal: abort.signal,
    print: (line) => out.push(line),
    emit: (value) => emitted.push(value),
    note: (line) => err.push(line),
    warn: (line) => err.push(`warning: ${line}`),
    progress: (label, fraction) => err.push(`${label} ${fraction}`),
    progressDone: () => {},
  };
  return { io, out, err, emitted };
}
const args = (positionals: string[], values: CommandArgs['values'] = {}): CommandArgs => ({ positionals, values });

async function writeTiny(): Promise<string> {
  const source = sourceOf(modelKeys('tiny-v1'));
  const tensors = [];
  for (const info of source.tensors.values()) tensors.push({ ...info, data: await source.readBytes(info.name) });
  writeFileSync(at('tiny.safetensors'), await collect(writeSafetensors(tensors)));
  return at('tiny.safetensors');
}

describe('backdrop convert', () => {
  it('converts there and back to the same bytes', async () => {
    const input = await writeTiny();
    const { io, out, err, emitted } = makeIo();
    expect(await convert.run(args([input, at('a.pth')], { model: 'tiny-v1' }), io)).toBe(0);
    expect(await convert.run(args([at('a.pth'), at('b.safetensors')]), io)).toBe(0);
    expect(await convert.run(args([input, at('c.safetensors')]), io)).toBe(0);
    expect(Buffer.compare(readFileSync(at('b.safetensors')), readFileSync(at('c.safetensors')))).toBe(0);
    expect(out[0]).toMatch(/a\.pth: 503 tensors, 1\.\d MiB/);
    expect(err).toContain('RT-DETR v1, ResNet-18: 503 tensors loaded');
    expect(err.some((line) => line === 'converting tiny.safetensors 1')).toBe(true);
    expect(emitted[0]).toMatchObject({ type: 'convert', tensors: 503 });
    expect(readdirSync(directory).sort()).toEqual(['a.pth', 'b.safetensors', 'c.safetensors', 'tiny.safetensors']);
  });
  it('does not overwrite without --force, and says so before working', async () => {
    const input = await writeTiny();
    writeFileSync(at('a.pth'), 'precious');
    const { io, err } = makeIo();
    expect((await errorOf(convert.run(args([input, at('a.pth')]), io))).code).toBe('E_FILE_EXISTS');
    expect(readFileSync(at('a.pth'), 'utf8')).toBe('precious');
    expect(err).toEqual([]);
    expect(await convert.run(args([input, at('a.pth')], { force: true }), io)).toBe(0);
    expect(readFileSync(at('a.pth')).length).toBeGreaterThan(1e6);
  });
  it('a damaged input leaves no output, and the old one in place', async () => {
    const { io } = makeIo();
    writeFileSync(at('a.safetensors'), 'precious');
    const damaged = fixturePath('golden/damaged-small-good-bitflip-in-data.pth');
    expect((await errorOf(convert.run(args([damaged, at('a.safetensors')], { force: true }), io))).code).toBe('E_CKPT_CRC');
    expect(readdirSync(directory)).toEqual(['a.safetensors']);
    expect(readFileSync(at('a.safetensors'), 'utf8')).toBe('precious');
  });
  it('stops at a signal without leaving anything', async () => {
    const input = await writeTiny();
    const abort = new AbortController();
    const { io } = makeIo(abort);
    let steps = 0;
    const stopping = { ...io, progress: () => ++steps === 100 && abort.abort(new Error('interrupted')) } as unknown as CommandIo;
    await expect(convert.run(args([input, at('a.pth')]), stopping)).rejects.toThrow('interrupted');
    expect(readdirSync(directory)).toEqual(['tiny.safetensors']);
  });
  it('stores class names, one a line', async () => {
    const input = await writeTiny();
    writeFileSync(at('names.txt'), '\uFEFFcat\r\ndog\r\n\r\nbird\nfish \ncow\n');
    const { io } = makeIo();
    await convert.run(args([input, at('a.safetensors')], { classes: at('names.txt'), dtype: 'f16' }), io);
    expect(readFileSync(at('a.safetensors'), 'latin1')).toContain('"classes":"[\\"cat\\",\\"dog\\",\\"bird\\",\\"fish\\",\\"cow\\"]"');
  });
  it('warns of weights that are not finite', async () => {
    const { io, err } = makeIo();
    await convert.run(args([fixturePath('torch213/dtypes.pth'), at('a.safetensors')]), io);
    expect(err).toContain('warning: NaN or infinite values in special');
  });
  it.each([
    ['E_CLI_USAGE', ['in.pth', 'out.onnx'], {}],
    ['E_CLI_USAGE', ['in.pth', 'out.pth'], { dtype: 'int8' }],
    ['E_FILE_MISSING', ['/nowhere/in.pth', 'out.pth'], {}],
    ['E_FILE_MISSING', ['/tmp', 'out.pth'], {}],
    ['E_MODEL_UNKNOWN', [fixturePath('golden/small-good.pth'), 'out.pth'], { model: 'yolo' }],
    ['E_FILE_MISSING', [fixturePath('golden/small-good.pth'), 'out.pth'], { classes: '/nowhere.txt' }],
    ['E_FILE_WRITE', [fixturePath('golden/small-good.pth'), '/nowhere/out.pth'], {}],
  ])('%s: %j %j', async (code, positionals, values) => {
    expect((await errorOf(convert.run(args(positionals, values), makeIo().io))).code).toBe(code);
  });
});

describe('backdrop inspect', () => {
  it('prints the table and what the file fits', async () => {
    const { io, out, emitted } = makeIo();
    expect(await inspect.run(args([await writeTiny()], { model: 'tiny-v1' }), io)).toBe(0);
    expect(out[0]).toContain('architecture: RT-DETR v1, ResNet-18');
    expect(out[0]).toContain('503 tensors loaded');
    expect(emitted[0]).toMatchObject({ type: 'inspect', parameters: expect.any(Number) });
  });
});

describe('writing files', () => {
  it('a file that appears meanwhile is not overwritten', async () => {
    async function* chunks(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(3);
      writeFileSync(at('x'), 'other');
    }
    expect((await errorOf(writeFileAtomically(at('x'), chunks()))).code).toBe('E_FILE_EXISTS');
    expect(readFileSync(at('x'), 'utf8')).toBe('other');
    expect(readdirSync(directory)).toEqual(['x']);
  });
});
