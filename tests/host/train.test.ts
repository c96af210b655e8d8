/** "backdrop train" as people use it, and as accidents befall it: whole processes, each with a Chrome of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, openAsBlob, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JSHandle } from 'puppeteer';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openSafetensors } from '../../src/checkpoints/safetensors.ts';
import { parseCommand } from '../../src/host/args.ts';
import { train } from '../../src/host/commands/train.ts';
import { createIo } from '../../src/host/io.ts';
import { writeScenes } from '../../src/host/scenes.ts';
import { PageSession } from '../../src/host/session.ts';
import { setup } from '../../src/host/setup.mjs';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { readRunFacts } from '../../src/training/run-files.ts';
import { random } from '../setup/random.ts';
import { gpuProcess } from './processes.ts';

/** The smallest model that has all parts: what is tested here is what happens around it. */
const settings = {
  modelConfig: {
    ...{ baseWidth: 8, encoderHidden: 16, encoderFfn: 16, decoderHidden: 16, decoderFfn: 16, decoderLayers: 1 },
    ...{ queries: 10, heads: 2, denoising: 5, associationEncoder: null },
  },
  // Saved after every step. Rates that do not depend on the number of epochs: it is 1 first, and 2 then.
  ...{ size: 64, batch: 1, epochs: 2, schedule: 'constant', warmup: 0, emaWarmup: 5, augment: 'flip', seed: 5, saveEvery: 0 },
};

let base: string;
beforeAll(async () => {
  await setup();
  base = mkdtempSync(join(tmpdir(), 'backdrop-train-'));
  const set = { out: join(base, 'data'), images: 16, width: 96, height: 96, split: [0.75, 0.125, 0.125] as const };
  await writeScenes({ ...set, seed: 4, elsewhere: 0.15, regions: false }, () => {}, new AbortController().signal);
  writeFileSync(join(base, 'tiny.json'), JSON.stringify(settings));
}, 600_000);
const started = new Set<ChildProcess>();
afterAll(() => {
  // Those of a test that has failed.
  for (const child of started) child.kill('SIGKILL');
  rmSync(base, { recursive: true, force: true });
});

const at = (...names: string[]) => join(base, ...names);
const STATE = 'last.train.safetensors';

interface Running {
  child: ChildProcess;
  /** What it has written to stdout and stderr. */
  out(): string;
  err(): string;
  exit: Promise<{ code: number | null; out: string; err: string }>;
}

function start(command: string, ...args: string[]): Running {
  const child = spawn(process.execPath, [join(root, 'src/host/backdrop.mjs'), command, ...args], {
    cwd: base,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  started.add(child);
  const said = { out: '', err: '' };
  child.stdout.on('data', (data) => {
    said.out += data;
  });
  child.stderr.on('data', (data) => {
    said.err += data;
  });
  const exit = new Promise<number | null>((done) => child.on('close', done)).then((code) => {
    started.delete(child);
    return { code, ...said };
  });
  return { child, out: () => said.out, err: () => said.err, exit };
}
const run = (command: string, ...args: string[]) => start(command, ...args).exit;
const begin = (...args: string[]) => ['--data', 'data', '-c', 'tiny.json', ...args];

type Told = { type: string; step: number; stats: Record<string, number>; [key: string]: unknown };
const events = (out: string, type: string): Told[] =>
  out
    .slice(0, out.lastIndexOf('\n') + 1)
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Told)
    .filter((event) => event.type === type);

/** As long as the process runs. */
async function until(running: Running, holds: () => boolean): Promise<void> {
  while (!holds()) {
    if (running.child.exitCode !== null) throw new Error(`it ended: ${running.err()}`);
    await new Promise((done) => setTimeout(done, 2));
  }
}
const firstStep = (running: Running) => until(running, () => running.out().includes('"type":"step"'));

const facts = async (run: string) => readRunFacts(await openSafetensors(await openAsBlob(at(run, STATE)), { fileName: STATE }), STATE);

/** Of weights all bytes, of the training state all but the time that it took. */
async function hashes(run: string): Promise<string[]> {
  const weights = ['last.safetensors', 'best.safetensors'].map((name) => readFileSync(at(run, name)));
  const state = readFileSync(at(run, STATE));
  const { progress, ...rest } = await facts(run);
  const tensors = state.subarray(8 + Number(state.readBigUInt64LE(0)));
  return [...weights, tensors, JSON.stringify([rest, { ...progress, seconds: 0 }])].map((part) =>
    createHash('sha256').update(part).digest('hex'),
  );
}

/** Every file of the run is whole, and nothing lies beside them. */
async function intact(run: string): Promise<void> {
  for (const name of [STATE, 'last.safetensors', 'best.safetensors']) {
    const { tensors, readFloat32 } = await openSafetensors(await openAsBlob(at(run, name)), { fileName: name });
    for (const [tensor, { dtype }] of tensors) if (dtype === 'f32') await readFloat32(tensor);
  }
}

/** As a driver's reset does it, in mid-run. */
async function destroyDevices({ chrome }: PageSession): Promise<void> {
  const [page] = await chrome.browser.pages();
  const devices = await page.queryObjects(await page.evaluateHandle(() => GPUDevice.prototype));
  await page.evaluate(
    (all) => {
      for (const device of all) device.destroy();
    },
    devices as JSHandle<GPUDevice[]>,
  );
}

// Each compiles every kernel anew, on a busy machine for minutes.
describe('a run', { timeout: 600_000 }, () => {
  beforeAll(async () => {
    expect(await run('train', ...begin('--out', 'straight'))).toMatchObject({ code: 0 });
  }, 600_000);

  it('leaves what one expects of a run', () => {
    const files = readdirSync(at('straight')).filter((name) => !name.startsWith('events.out.tfevents.'));
    expect(files.sort()).toEqual(
      [
        ...['best.safetensors', 'config.json', 'confusion_matrix.csv', 'confusion_matrix.svg', 'labels.svg', 'last.safetensors', STATE],
        ...['log.txt', 'metrics.jsonl', 'pr_curve.svg', 'results.csv', 'results.svg', 'val_batch0_labels.png', 'val_batch0_pred.png'],
      ].sort(),
    );
    const lines = readFileSync(at('straight', 'metrics.jsonl'), 'utf8').trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).step)).toEqual(Array.from({ length: 24 }, (_, i) => i));
    expect(readFileSync(at('straight', 'results.csv'), 'utf8').trim().split('\n')).toHaveLength(3);
  });

  it('of one epoch tells machines of every step, and people of nothing when asked to be quiet', async () => {
    const { code, out, err } = await run('train', ...begin('--out', 'mine', '--epochs', '1', '--json', '--quiet'));
    expect(code).toBe(0);
    expect(err).toMatch(/^warning: this is a software adapter[^\n]*\n$/);
    expect(events(out, 'step').map(({ step }) => step)).toEqual(Array.from({ length: 12 }, (_, i) => i));
    expect(events(out, 'validation')[0].stats.AP).toBeGreaterThanOrEqual(0);
    expect(events(out, 'end')).toMatchObject([{ reason: 'finished' }]);
    expect((await facts('mine')).steps).toBe(12);
  });

  // Seeded moments: while the state is written, while weights are, and at any time after the first step.
  const moments = random(8);
  const writing = (name: string) => () => readdirSync(at('mine')).some((file) => file.startsWith(`.${name}.`) && file.endsWith('.partial'));
  it.each([
    ['the state is written', (running: Running) => until(running, writing(STATE))],
    ['the weights are written', (running: Running) => until(running, writing('last.safetensors'))],
    ['it steps', () => new Promise((done) => setTimeout(done, 150 * moments.uniform()))],
  ] as const)('killed while %s loses no file, and no step but those since the last save', async (_, moment) => {
    const before = (await facts('mine')).steps;
    const running = start('train', '--resume', 'mine', '--epochs', '2', '--json');
    await firstStep(running);
    await moment(running);
    running.child.kill('SIGKILL');
    const { out } = await running.exit;
    await intact('mine');
    const saved = events(out, 'saved').map(({ step }) => step);
    expect((await facts('mine')).steps).toBeGreaterThanOrEqual(Math.max(before, ...saved));
  });

  it('belongs to one process; Ctrl-C ends it after its step, saved, and says how to go on', async () => {
    const running = start('train', '--resume', 'mine', '--epochs', '2', '--json');
    await until(running, () => existsSync(at('mine', 'run.lock')) && running.err().includes('starting Chrome'));
    expect(await run('train', '--resume', 'mine')).toMatchObject({ code: 1, err: expect.stringContaining(`process ${running.child.pid}`) });
    await firstStep(running);
    running.child.kill('SIGINT');
    const { code, out, err } = await running.exit;
    expect(code).toBe(130);
    expect(err).toContain('finishing the step and saving');
    expect(events(out, 'resume')).toMatchObject([{ command: expect.stringMatching(/^backdrop train --resume .*mine$/) }]);
    const steps = events(out, 'step').map(({ step }) => step);
    expect((await facts('mine')).steps).toBe(steps.at(-1)! + 1);
    expect(events(out, 'end')).toMatchObject([{ reason: 'stopped' }]);
  });

  it.skipIf(!existsSync('/dev/full'))('on a full disk ends, and what was saved before stands', async () => {
    const before = await hashes('mine');
    const running = start('train', '--resume', 'mine', '--epochs', '2');
    await until(running, () => existsSync(at('mine', 'run.lock')) && running.err().includes('starting Chrome'));
    // Linux's device that is always full stands for the disk.
    symlinkSync('/dev/full', at('mine', `.${STATE}.${running.child.pid}.partial`));
    const { code, err } = await running.exit;
    expect(code).toBe(1);
    expect(err).toContain('E_FILE_WRITE');
    expect(err).toContain('the disk is full');
    expect(err).toContain('then --resume');
    expect(await hashes('mine')).toEqual(before);
  });

  it('whose GPU process is killed goes on by itself, and ends where one without accidents ends, bit for bit', async () => {
    const running = start('train', '--resume', 'mine', '--epochs', '2', '--json');
    await firstStep(running);
    process.kill(gpuProcess(running.child.pid!), 'SIGKILL');
    const { code, out, err } = await running.exit;
    expect(code).toBe(0);
    expect(err).toContain('Starting again from the last save (attempt 1 of 3)');
    expect(events(out, 'end')).toMatchObject([{ reason: 'finished' }]);
    expect(await hashes('mine')).toEqual(await hashes('straight'));
    // Nor do the logs show what happened.
    const logged = (run: string) =>
      readFileSync(at(run, 'metrics.jsonl'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => ({ ...JSON.parse(line), seconds: 0, waited: 0 }));
    expect(logged('mine')).toEqual(logged('straight'));
    expect(readdirSync(at('mine')).filter((name) => /partial|lock|tmp/.test(name))).toEqual([]);
  });

  it('whose GPU device is destroyed goes on likewise', async () => {
    const files = new Map(['page.js', 'loader-worker.js'].map((name) => [name, readFileSync(join(root, 'dist/host', name))]));
    const launch = PageSession.launch.bind(PageSession);
    const sessions: PageSession[] = [];
    const launched = vi.spyOn(PageSession, 'launch').mockImplementation(async (options) => {
      const session = await launch({ ...options, files });
      sessions.push(session);
      return session;
    });
    let err = '';
    let destroyed: Promise<void> | undefined;
    const stream = (take: (text: string) => void) =>
      ({
        write: (text: string) => {
          take(text);
          return true;
        },
      }) as NodeJS.WriteStream;
    const stdout = stream((text) => {
      if (text.includes('"type":"step"')) destroyed ??= destroyDevices(sessions[0]);
    });
    const stderr = stream((text) => {
      err += text;
    });
    const io = createIo({ json: true, debug: false, signal: new AbortController().signal, stdout, stderr });
    const args = ['--data', at('data'), '-c', at('tiny.json'), '--out', at('destroyed'), '--json'];
    try {
      expect(await train.run(parseCommand(train.spec, args), io)).toBe(0);
    } finally {
      launched.mockRestore();
    }
    await destroyed;
    expect(err).toMatch(/GPU device was lost \(destroyed\).*\n?.*Starting again from the last save \(attempt 1 of 3\)/);
    expect(sessions.length).toBe(2);
    expect(await hashes('destroyed')).toEqual(await hashes('straight'));
  });

  it('ends at a number that is not finite, names the step, and stores nothing of it', async () => {
    const weights = readFileSync(at('straight', 'last.safetensors'));
    const start = 8 + Number(weights.readBigUInt64LE(0));
    const header = JSON.parse(weights.toString('utf8', 8, start)) as Record<string, { data_offsets: [number, number] }>;
    // Finite, but no sum with it is.
    weights.writeFloatLE(3e38, start + header['backbone.conv1.conv1_1.conv.weight'].data_offsets[0]);
    writeFileSync(at('huge.safetensors'), weights);
    const { code, err } = await run(
      'train',
      '--data',
      'data',
      '--weights',
      'huge.safetensors',
      '--size',
      '64',
      '--batch',
      '1',
      '--out',
      'nan',
    );
    expect(code).toBe(1);
    expect(err).toMatch(/E_TRAIN_NAN: In step 0 .+ had a number that is not finite; no parameter has changed/);
    expect(readdirSync(at('nan')).filter((name) => name.endsWith('.safetensors'))).toEqual([]);
  });

  it('is evaluated as it was validated; below --min-ap the exit code is 1', async () => {
    const weights = ['--weights', 'straight/best.safetensors', '--batch', '1', '--size', '64'];
    const { code, out, err } = await run('val', '--data', 'data', ...weights, '--save-json', '--min-ap', '1', '--json');
    expect(code).toBe(1);
    expect(err).toContain('is below --min-ap 1');
    const { best } = (await facts('straight')).progress;
    expect(events(out, 'evaluation')[0].stats).toMatchObject({ AP: best!.ap, AP50: best!.ap50 });
    const detections = JSON.parse(readFileSync(at('detections.json'), 'utf8')) as { image_id: number; bbox: number[] }[];
    expect(new Set(detections.map(({ image_id }) => image_id)).size).toBe(2);
  });

  it.each([true, false])(
    'is tried dry, with pictures to validate with: %j; it tells time and memory, and leaves nothing',
    async (validated) => {
      if (!validated) renameSync(at('data', 'val.json'), at('val.json'));
      const before = readdirSync(base);
      const { code, out, err } = await run('train', ...begin('--batch', '2', '--out', 'dry', '--dry-run'));
      expect(code).toBe(0);
      expect(out).toMatch(/dry run {5}a step of 2 pictures took .+: an epoch of 6 steps about .+, 2 about /);
      expect(out).toMatch(/\d+ MB on the device, \d+ MB on the disk/);
      const line = 'Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = ';
      expect(out.includes(line)).toBe(validated);
      expect(err.includes('there is no split "val"')).toBe(!validated);
      expect(readdirSync(base)).toEqual(before);
    },
  );
});

describe('before anything is started', { timeout: 60_000 }, () => {
  const refused = async (code: number, message: string | RegExp, ...args: string[]) => {
    const { code: found, err, out } = await run('train', ...args);
    expect(err).toMatch(message);
    expect({ found, out }).toEqual({ found: code, out: '' });
    expect(err).not.toMatch(/^\s+at /m);
  };

  it.each([
    ['no data', 2, /train needs --data DATA/, []],
    ['no such data', 1, /E_DATA: nowhere: there is no such folder or file/, ['--data', 'nowhere']],
    ['a slip in a setting', 1, /E_CONFIG: --set: there is no setting "epoch"; did you mean "epochs"\?/, begin('-u', 'epoch=3')],
    ['a slip in the model', 1, /E_CONFIG: modelConfig: association-detr-nano has no "querys"/, begin('--set', 'modelConfig.querys=3')],
    ['a model there is not', 1, /E_MODEL_UNKNOWN: .*Did you mean association-detr-nano\?/, begin('--model', 'association-detr-nono')],
    ['a size no model has', 1, /E_CONFIG: --size: size is "100", expected a multiple of 32/, begin('--imgsz', '100')],
    ['a batch larger than the set', 1, /a batch of 99 cannot be made of 12 training pictures/, begin('--batch', '99')],
    ['a folder that cannot be made', 1, /E_FILE_WRITE: cannot write \/proc\/runs/, begin('--out', '/proc/runs/train')],
    ['no run to resume', 1, /E_RUN_MISSING: there is no saved run to resume in nothing/, ['--resume', '--out', 'nothing']],
    ['a dry run that goes on', 2, /--dry-run begins a run of its own/, ['--resume', '--dry-run']],
  ] as const)('%s is told', (_, code, message, args) => refused(code, message, ...args));

  // A finished run: whatever is asked of it, it is left as it is.
  it.each([
    ['another model', /was begun with model "association-detr-nano", not "rtdetr-r18"/, ['--model', 'rtdetr-r18']],
    ['another seed', /was begun with seed 5, not 6/, ['-u', 'seed=6']],
  ])('a run is not gone on with under %s', (_, message, args) => refused(1, message, '--resume', 'straight', ...args));

  it('a data set that has changed under a run is noticed, and what of it', async () => {
    const file = at('data', 'train.json');
    const text = readFileSync(file, 'utf8');
    const labels = JSON.parse(text);
    labels.annotations.pop();
    writeFileSync(file, JSON.stringify(labels));
    await refused(
      1,
      /E_RUN_MISMATCH: the data set has changed since this run was saved: split train is 12 pictures, \d+ boxes, sha256/,
      '-r',
      'straight',
    );
    writeFileSync(file, text);
  });
});
