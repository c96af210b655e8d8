/** Page side of the README's examples: they are called as a reader would call them. */
import type { ModelConfig } from 'backdrop';
import { loaderWorkers } from 'backdrop/data';
import type { RunConfig, TrainerEvent, TrainingBatch } from 'backdrop/training';
import { register } from '../../src/host/page-registry.ts';
import { buildModel } from '../../src/models/rt-detr.ts';
import { FormulaSource } from '../../src/verification/formula.ts';
import { trainClassifier } from './train-anything.ts';
import { train } from './train-detector.ts';
import { trainFolder } from './train-folder.ts';

export interface DetectorExample {
  model: ModelConfig;
  batches: TrainingBatch[];
}

register<DetectorExample>('example detector', ({ model, batches }) => {
  const shapes = new Map([...buildModel(model).parameters].map(([name, { shape }]) => [name, shape]));
  return train(model, new FormulaSource(shapes, 'example', { overrides: [] }), batches);
});

export interface ClassifierExample {
  images: Float32Array;
  labels: number[];
  steps: number;
}

register<ClassifierExample>('example classifier', ({ images, labels, steps }) => trainClassifier(images, labels, steps));

export interface FolderExample {
  /** By path: put into a folder of the page, where those of an earlier call are replaced. */
  files: Record<string, Uint8Array<ArrayBuffer>>;
  settings: Partial<RunConfig>;
  /** Steps after which it is told to stop. */
  steps?: number;
}

export interface FolderAnswer {
  reason: string;
  ready: Extract<TrainerEvent, { type: 'ready' }>[];
  ap: number[];
  /** Of the run's folder, with their sizes. */
  files: Record<string, number>;
}

register<FolderExample>('example folder', async ({ files, settings, steps = Number.POSITIVE_INFINITY }): Promise<FolderAnswer> => {
  const storage = await navigator.storage.getDirectory();
  const folder = (name: string) => storage.getDirectoryHandle(name, { create: true });
  const pictures = await folder('example-pictures');
  for (const [path, bytes] of Object.entries(files)) {
    const names = path.split('/');
    let directory = pictures;
    for (const name of names.slice(0, -1)) directory = await directory.getDirectoryHandle(name, { create: true });
    const stream = await (await directory.getFileHandle(names[names.length - 1], { create: true })).createWritable();
    await stream.write(bytes);
    await stream.close();
  }
  const out = await folder('example-run');
  const events: TrainerEvent[] = [];
  const count = (type: TrainerEvent['type']) => events.filter((event) => event.type === type).length;
  const workers = loaderWorkers(1, 'loader-worker.js');
  const reason = await trainFolder(
    pictures,
    out,
    settings,
    workers,
    (event) => events.push(event),
    () => count('step') >= steps,
  );
  const found: FolderAnswer['files'] = {};
  for await (const [name, handle] of out.entries()) found[name] = (await (handle as FileSystemFileHandle).getFile()).size;
  const of = <T extends TrainerEvent['type']>(type: T) => events.filter((e): e is Extract<TrainerEvent, { type: T }> => e.type === type);
  return { reason, ready: of('ready'), ap: of('validation').map(({ evaluation }) => evaluation.stats[0]), files: found };
});

register('example folder gone', async () => {
  const storage = await navigator.storage.getDirectory();
  for (const name of ['example-pictures', 'example-run']) await storage.removeEntry(name, { recursive: true }).catch(() => {});
});
