/** Verification of a golden file on a device: what it holds is built, run and compared with PyTorch's values. */
import type { TensorSource } from '../checkpoints/tensors.ts';
import { readGolden } from './golden.ts';
import { type ModelContext, verifyModel } from './models.ts';
import { verifyCase } from './ops.ts';
import type { CaseReport, FileReport } from './report.ts';
import { verifySteps } from './steps.ts';
import { verifyTrain } from './train.ts';

export interface VerifyOptions {
  /** Only cases whose name it accepts. */
  select?: (name: string) => boolean;
  onProgress?: (progress: { done: number; total: number; name: string }) => void;
  signal?: AbortSignal;
}

/** Names of a file's cases, for callers that run them one by one. A model's file is one case. */
export function caseNames(source: TensorSource): string[] {
  const file = readGolden(source);
  return file.kind === 'ops' ? file.cases.map((c) => c.name) : [file.model];
}

/**
 * Verifies a file.
 * @param name the file's name, for the report
 * @throws BackdropError E_VERIFY for a file of another kind, the reader's errors, and the device's own failures
 */
export async function verify(source: TensorSource, name: string, context: ModelContext, options: VerifyOptions = {}): Promise<FileReport> {
  const file = readGolden(source);
  const { select = () => true, onProgress, signal } = options;
  const cases: CaseReport[] = [];
  if (file.kind === 'ops') {
    const chosen = file.cases.filter((c) => select(c.name));
    for (const [done, golden] of chosen.entries()) {
      signal?.throwIfAborted();
      onProgress?.({ done, total: chosen.length, name: golden.name });
      cases.push(...(await verifyCase(file, golden, context)));
    }
    return { file: name, kind: 'operations', cases };
  }
  if (select(file.model)) {
    onProgress?.({ done: 0, total: 1, name: file.model });
    if (!('mode' in file)) cases.push(...(await verifyModel(file, context, signal)));
    else cases.push(...(await (file.kind === 'train' ? verifyTrain : verifySteps)(file, context)));
  }
  return { file: name, kind: file.kind, model: file.model, cases };
}
