import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RunDirectory } from '../../src/host/run-directory.ts';
import { cutLogs } from '../../src/host/train-report.ts';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'backdrop-run-'));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const sha = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const bytes = (...values: number[]) => Uint8Array.from(values);
const code = (wanted: string) => expect.objectContaining({ code: wanted });
/** As if a run had been saved there. */
const saved = (name: string) => {
  mkdirSync(join(base, name), { recursive: true });
  writeFileSync(join(base, name, 'last.train.safetensors'), 'x');
};

describe('the folder of a run', () => {
  it('is never that of another run: a number is added', () => {
    const names = [1, 2, 3].map(() => {
      const run = RunDirectory.create(join(base, 'runs', 'train'));
      run.write('config.json', '{}');
      run.close();
      return run.path;
    });
    expect(names).toEqual(['train', 'train2', 'train3'].map((name) => join(base, 'runs', name)));
  });

  it('may be there already when it is empty', () => {
    mkdirSync(join(base, 'mine'));
    const run = RunDirectory.create(join(base, 'mine'));
    expect(run.path).toBe(join(base, 'mine'));
    run.close();
  });

  it('belongs to one process at a time, and to nobody after it', () => {
    saved('a');
    const run = RunDirectory.open(join(base, 'a'));
    expect(() => RunDirectory.open(join(base, 'a'))).toThrow(code('E_RUN_LOCKED'));
    expect(() => RunDirectory.open(join(base, 'a'))).toThrow(`process ${process.pid}`);
    run.close();
    RunDirectory.open(join(base, 'a')).close();
  });

  it('is freed from the lock of a process that was killed, not from that of another machine', () => {
    saved('a');
    const lock = join(base, 'a', 'run.lock');
    // No process has this number: the largest is 2^22.
    writeFileSync(lock, JSON.stringify({ pid: 2 ** 30, host: hostname() }));
    RunDirectory.open(join(base, 'a')).close();
    writeFileSync(lock, JSON.stringify({ pid: 2 ** 30, host: 'elsewhere' }));
    expect(() => RunDirectory.open(join(base, 'a'))).toThrow(code('E_RUN_LOCKED'));
    // A lock that was cut off by a power cut belongs to nobody.
    writeFileSync(lock, '{"pid"');
    RunDirectory.open(join(base, 'a')).close();
  });

  it('is found again: the one saved last', () => {
    saved('train');
    saved('train2');
    saved('trainer');
    writeFileSync(join(base, 'train', 'last.train.safetensors'), 'later');
    expect(RunDirectory.newest(join(base, 'train'))).toBe(join(base, 'train'));
    expect(() => RunDirectory.newest(join(base, 'other'))).toThrow(code('E_RUN_MISSING'));
    expect(() => RunDirectory.open(join(base, 'other'))).toThrow(code('E_RUN_MISSING'));
  });

  it('that cannot be made says why', () => {
    writeFileSync(join(base, 'file'), '');
    expect(() => RunDirectory.create(join(base, 'file', 'train'))).toThrow(code('E_FILE_WRITE'));
    // Root may write everywhere but here.
    expect(() => RunDirectory.create('/proc/runs/train')).toThrow(code('E_FILE_WRITE'));
  });

  it.skipIf(process.getuid?.() === 0)('that is read-only says so', () => {
    chmodSync(base, 0o500);
    expect(() => RunDirectory.create(join(base, 'train'))).toThrow('no permission');
    chmodSync(base, 0o700);
  });
});

describe('a file from the page', () => {
  it('takes its name when all pieces are there, and not before', () => {
    const run = RunDirectory.create(join(base, 'a'));
    run.write('last.safetensors', 'old');
    run.receive('last.safetensors', 0, bytes(1, 2), sha(bytes(1, 2)));
    expect(readFileSync(run.file('last.safetensors'), 'utf8')).toBe('old');
    run.receive('last.safetensors', 2, bytes(3), sha(bytes(3)));
    run.finish('last.safetensors', 3);
    expect([...readFileSync(run.file('last.safetensors'))]).toEqual([1, 2, 3]);
    run.close();
    expect(readdirSync(run.path)).toEqual(['last.safetensors']);
  });

  it.each([
    ['damaged', (run: RunDirectory) => run.receive('a.bin', 2, bytes(3), sha(bytes(4)))],
    ['out of order', (run: RunDirectory) => run.receive('a.bin', 5, bytes(3), sha(bytes(3)))],
    ['of 9 bytes have come', (run: RunDirectory) => run.finish('a.bin', 9)],
  ])('that is %s leaves the old one', (message, accident) => {
    const run = RunDirectory.create(join(base, 'a'));
    run.write('a.bin', 'old');
    run.receive('a.bin', 0, bytes(1, 2), sha(bytes(1, 2)));
    expect(() => accident(run)).toThrow(message);
    expect(readFileSync(run.file('a.bin'), 'utf8')).toBe('old');
    run.close();
    expect(readdirSync(run.path)).toEqual(['a.bin']);
  });

  it('of which the page sends no more is thrown away; those of a killed process, too', () => {
    saved('a');
    const run = RunDirectory.open(join(base, 'a'));
    run.receive('a.bin', 0, bytes(1, 2), sha(bytes(1, 2)));
    run.close();
    expect(readdirSync(run.path)).toEqual(['last.train.safetensors']);
    writeFileSync(join(base, 'a', '.b.bin.77.partial'), 'half');
    RunDirectory.open(join(base, 'a')).close();
    expect(readdirSync(run.path)).toEqual(['last.train.safetensors']);
  });

  it.each(['../evil.bin', 'a/b.bin', '.hidden', 'plain'])('cannot be called %s', (name) => {
    const run = RunDirectory.create(join(base, 'a'));
    expect(() => run.receive(name, 0, bytes(1), sha(bytes(1)))).toThrow(code('E_FILE_WRITE'));
    run.close();
  });

  it.skipIf(!existsSync('/dev/full'))('on a full disk says so', () => {
    const run = RunDirectory.create(join(base, 'a'));
    rmSync(run.file('log.txt'), { force: true });
    // Linux's device that is always full stands for the disk.
    expect(() => {
      const full = Object.create(run, { file: { value: () => '/dev/full' } }) as RunDirectory;
      full.append('log.txt', 'line');
    }).toThrow(expect.objectContaining({ code: 'E_FILE_WRITE', message: expect.stringContaining('the disk is full') }));
    run.close();
  });
});

describe('logs of a run that goes on', () => {
  it('lose what comes again, and a line that was cut off', () => {
    const run = RunDirectory.create(join(base, 'a'));
    run.append('metrics.jsonl', '{"step":0}\n{"step":1}\n{"step":2}\n{"st');
    run.append('results.csv', 'epoch,time\n1,5\n2,9\n');
    run.append('log.txt', '{"epoch":0}\n{"epoch":1}\n');
    cutLogs(run, { steps: 2, epoch: 1 });
    expect(run.read('metrics.jsonl')).toBe('{"step":0}\n{"step":1}\n');
    expect(run.read('results.csv')).toBe('epoch,time\n1,5\n');
    expect(run.read('log.txt')).toBe('{"epoch":0}\n');
    run.close();
  });
});
