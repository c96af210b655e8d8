/** Worker: opens a file of weights, and gives its tensors one by one. The file is never read as a whole, and the page stays free. */
import { BackdropError } from '../src/errors.ts';
import { type ModelWeights, openModelWeights } from '../weights-tools/model-weights.ts';
import type { Answer, Opened, Request } from './weights-source.ts';

let weights: ModelWeights | undefined;

async function open({ file, model }: Extract<Request, { file: File }>): Promise<Opened> {
  weights = await openModelWeights(file, model === undefined ? {} : { model });
  const { source, config, labels, report } = weights;
  const shapes = [...source.tensors].map(([name, { shape }]): [string, readonly number[]] => [name, shape]);
  return { shapes, config, labels, messages: report.messages };
}

/** The page's types know no worker's scope. */
const scope = globalThis as unknown as {
  onmessage: (event: MessageEvent<Request>) => void;
  postMessage(answer: Answer, transfer: Transferable[]): void;
};
scope.onmessage = async ({ data }) => {
  const post = (answer: Answer, transfer: Transferable[] = []) => scope.postMessage(answer, transfer);
  try {
    if ('file' in data) post({ id: data.id, opened: await open(data) });
    else {
      const read = await weights!.source.readFloat32(data.name);
      // A copy only where other tensors lie in the same memory.
      const values = read.byteLength === read.buffer.byteLength ? read : read.slice();
      post({ id: data.id, values }, [values.buffer as ArrayBuffer]);
    }
  } catch (error) {
    const known = error instanceof BackdropError ? error.toJSON() : undefined;
    post({ id: data.id, error: known ?? (error instanceof Error ? error.message : String(error)) });
  }
};
