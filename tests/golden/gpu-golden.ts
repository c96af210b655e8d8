/** The trimmed golden files of tests/fixtures/golden, and the call that verifies one. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { VerifyAnswer, VerifyRequest } from '../../src/host/page-verify.ts';
import type { CaseReport, TensorReport } from '../../src/verification/report.ts';
import { page } from '../setup/gpu.ts';

const folder = fileURLToPath(new URL('../fixtures/golden/', import.meta.url));

/** Names of the files that begin with `prefix`. */
export function goldenFiles(prefix: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && name.endsWith('.safetensors'))
    .sort();
}

/** Where a fixture lies, for the command line. */
export const fixturePath = (name: string): string => folder + name;

export function readFixture(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(folder + name));
}

/** The header of a safetensors file: metadata and where each tensor's bytes lie. */
export function readHeader(bytes: Uint8Array<ArrayBuffer>): {
  metadata: Record<string, string>;
  tensors: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;
  dataStart: number;
} {
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const { __metadata__: metadata, ...tensors } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  return { metadata, tensors, dataStart: 8 + length };
}

/** Verifies a file, or some of its cases; `variants` forces kernels by operation name. */
export async function verify(
  name: string,
  bytes: Uint8Array<ArrayBuffer>,
  only?: readonly string[],
  variants: Readonly<Record<string, string>> = {},
): Promise<readonly CaseReport[]> {
  const request: VerifyRequest = { name, file: { bytes }, photo: null, variants, ...(only ? { only } : {}) };
  return (await page.call<VerifyAnswer>('verify', request)).report.cases;
}

/** Does this adapter have subgroups? Kernels that use them do not compile without. */
export async function hasSubgroups(): Promise<boolean> {
  const name = 'ops-pool.safetensors';
  const request: VerifyRequest = { name, file: { bytes: readFixture(name) }, only: [] };
  return (await page.call<VerifyAnswer>('verify', request)).features.includes('subgroups');
}

/** What went wrong in a case, one line a tensor; empty when all is well. */
export function failures({ status, reason, tensors }: CaseReport): string[] {
  const line = (t: TensorReport) => `${t.name}: ${t.metric} ${t.error.toExponential(2)}, limit ${t.limit.toExponential(2)} ${t.note ?? ''}`;
  return [...(status === 'pass' || tensors.length > 0 ? [] : [`${status}: ${reason}`]), ...tensors.filter((t) => !t.ok).map(line)];
}
