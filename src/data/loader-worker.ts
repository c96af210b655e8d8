/** Worker: decodes and augments the images that worker-preparer.ts sends. */
import { BackdropError } from '../errors.ts';
import { LocalPreparer } from './preparer.ts';
import type { WorkerAnswer, WorkerRequest } from './worker-preparer.ts';

let preparer: LocalPreparer | undefined;

/** The page's types know no worker's scope. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<WorkerRequest>) => void;
  postMessage(answer: WorkerAnswer, transfer: Transferable[]): void;
};
scope.onmessage = async ({ data }) => {
  if ('options' in data) {
    preparer = new LocalPreparer(data.options);
    return;
  }
  const { id, task, file } = data;
  try {
    const prepared = await preparer!.prepare(task, async () => file!);
    const arrays = [prepared.image, prepared.boxes, prepared.labels];
    scope.postMessage(
      { id, prepared, kept: preparer!.has(task.index) },
      arrays.map(({ buffer }) => buffer as ArrayBuffer),
    );
  } catch (error) {
    const known = error instanceof BackdropError ? error.toJSON() : undefined;
    scope.postMessage({ id, error: known ?? (error instanceof Error ? error.message : String(error)) }, []);
  }
};
