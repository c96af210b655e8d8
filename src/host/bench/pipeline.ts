/** `bench train --steps`: what "backdrop train" does, files left out, on generated pictures. Is it steady, and who waits for whom? */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelConfig } from '../../models/resolve.ts';
import { resolveRun } from '../../training/run-config.ts';
import type { Io } from '../io.ts';
import { openData, splitOf } from '../open-data.ts';
import { writeScenes } from '../scenes.ts';
import type { PageSession } from '../session.ts';
import type { EventAnswer, TrainMessage, TrainReply, TrainRequest } from '../train-messages.ts';
import { withSession } from '../with-session.ts';
import { digits, mebibytes, percent, table } from './tables.ts';

const PICTURES = 128;
/** Looks at memory in a run. */
const LOOKS = 20;
/** Steps in which caches fill and drivers compile; they are not timed. */
const WARM = 10;

export interface PipelineRequest {
  model: string;
  size: number;
  batch: number;
  steps: number;
}

interface Look {
  step: number;
  /** Of the page: objects and array buffers that a garbage collection leaves. */
  heapBytes: number;
  deviceBytes: number;
  buffers: number;
}

export interface PipelineReport extends PipelineRequest {
  chrome: string;
  adapter: string;
  software: boolean;
  parameters: number;
  /** Of the timed steps, their first half, and their second half. */
  all: Pace;
  halves: [Pace, Pace];
  looks: Look[];
}

interface Pace {
  images: number;
  seconds: number;
  /** Of them, those in which a step waited for data. */
  waited: number;
}

type Step = Extract<TrainMessage, { type: 'step' }>;

/** @throws BackdropError what training and the generator throw */
export async function benchPipeline(request: PipelineRequest, io: Io): Promise<PipelineReport> {
  const { model: name, size, batch, steps } = request;
  const folder = mkdtempSync(join(tmpdir(), 'backdrop-bench-'));
  try {
    const data = join(folder, 'scenes');
    const set = { out: data, seed: 1, images: PICTURES, width: 320, height: 240, split: [1, 0, 0] as const };
    const drawn = (done: number) => io.progress('drawing scenes', done / PICTURES);
    await writeScenes({ ...set, elsewhere: 0.15, regions: false }, drawn, io.signal);
    const { dataset, root } = await openData(data, io);
    const { categories } = dataset;
    const model = modelConfig(name, { classes: categories.length, size: [size, size] });
    const epochs = Math.ceil(steps / Math.floor(PICTURES / batch));
    // 1e6 minutes: nothing is saved before the end.
    const config = resolveRun({ data, epochs, batch, size: [size, size], saveEvery: 1e6 }, model);
    const train = splitOf(dataset, 'train');
    return await withSession(io, async (session) => {
      const told: Step[] = [];
      const looks: Look[] = [];
      const facts = { adapter: '', software: false, parameters: 0 };
      session.answer('train events', async (messages: TrainMessage[]): Promise<EventAnswer> => {
        for (const message of messages) {
          if (message.type === 'adapter') Object.assign(facts, { adapter: message.name, software: message.software });
          if (message.type === 'ready') facts.parameters = message.parameters;
          if (message.type === 'compiling') io.progress('compiling kernels', message.compiled / message.total);
          if (message.type !== 'step') continue;
          told.push(message);
          io.progress('training', told.length / steps);
        }
        const last = told.at(-1);
        if (last && told.length >= ((looks.length + 1) * steps) / LOOKS) {
          looks.push({ step: last.step, heapBytes: await heapBytes(session), deviceBytes: last.bytes, buffers: last.buffers });
        }
        return { stop: told.length >= steps || io.signal.aborted };
      });
      // Checkpoints of this run are nobody's.
      for (const what of ['train piece', 'train file']) session.answer(what, () => null);
      const addresses = { data: session.folder(root), weights: null, state: null };
      const parts = { config, model, categories, train, validation: [], identity: {} };
      await session.call<TrainReply>('train', { ...parts, ...addresses } satisfies TrainRequest);
      io.signal.throwIfAborted();
      const timed = told.slice(WARM, steps);
      const middle = timed.length >> 1;
      return {
        ...{ ...request, ...facts, looks },
        chrome: session.chrome.version,
        all: paceOf(timed),
        halves: [paceOf(timed.slice(0, middle)), paceOf(timed.slice(middle))],
      };
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function paceOf(steps: readonly Step[]): Pace {
  const sum = (key: 'images' | 'seconds' | 'waited') => steps.reduce((total, step) => total + step[key], 0);
  return { images: sum('images'), seconds: sum('seconds'), waited: sum('waited') };
}

async function heapBytes({ chrome }: PageSession): Promise<number> {
  const [page] = await chrome.browser.pages();
  const debug = await page!.createCDPSession();
  try {
    await debug.send('HeapProfiler.collectGarbage');
    // Newer than the protocol's types: what array buffers hold.
    const usage: { usedSize: number; backingStorageSize?: number } = await debug.send('Runtime.getHeapUsage');
    return usage.usedSize + (usage.backingStorageSize ?? 0);
  } finally {
    await debug.detach();
  }
}

/** The middle of a run is what has settled, its end what has grown since: medians of five looks each. */
export function pipelineLines({ model, size, batch, steps, parameters, all, halves, looks }: PipelineReport): string[] {
  const rate = ({ images, seconds }: Pace) => `${digits(images / seconds)}`;
  const share = ({ waited, seconds }: Pace) => percent(waited / seconds);
  const median = (part: readonly Look[], key: keyof Look) => part.map((look) => look[key]).sort((a, b) => a - b)[part.length >> 1] ?? 0;
  const [middle, end] = [looks.slice(LOOKS / 2 - 5, LOOKS / 2), looks.slice(-5)];
  const memory = (title: string, key: keyof Look, shown: (n: number) => string) => {
    const [before, after] = [median(middle, key), median(end, key)];
    return [title, '', shown(before), shown(after), shown(after - before)];
  };
  return [
    `${model} (${parameters.toLocaleString('en')} parameters), ${batch} pictures of ${size} x ${size} a step, ${steps} steps`,
    '',
    ...table(
      ['', 'all', 'first half', 'second half', 'growth'],
      [
        ['images/s', rate(all), rate(halves[0]), rate(halves[1]), ''],
        ['waiting for data', share(all), share(halves[0]), share(halves[1]), ''],
        memory('JavaScript heap, MiB', 'heapBytes', mebibytes),
        memory('on the device, MiB', 'deviceBytes', mebibytes),
        memory('buffers', 'buffers', String),
      ],
    ),
    '',
    'memory: medians of five looks before the middle and before the end',
  ];
}
