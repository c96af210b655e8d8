/** "backdrop verify": does this machine's adapter compute what PyTorch computes? */

import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BackdropError } from '../../errors.ts';
import { type CaseReport, count, type FileReport, type TensorReport } from '../../verification/report.ts';
import { adapterName } from '../adapter-name.ts';
import { textOption } from '../args.ts';
import { adapterChoice } from '../chrome.ts';
import type { Command } from '../cli.ts';
import { requireFile } from '../files.ts';
import type { Io } from '../io.ts';
import type { VerifyAnswer, VerifyProgress, VerifyRequest } from '../page-verify.ts';
import type { PageSession } from '../session.ts';
import { softwareWarning, withSession } from '../with-session.ts';

/** The picture that photo-* files were computed from; it lies beside them. */
const photoName = 'photo-640.png';

interface Totals {
  pass: number;
  fail: number;
  later: number;
  tensors: number;
}

export const verify: Command = {
  spec: {
    name: 'verify',
    summary: "compare this machine's results with PyTorch's",
    usage: 'FILE.safetensors... [options]',
    description:
      'Builds what each golden file describes, with weights and images made by formula, runs it on this adapter, and compares every ' +
      "tensor with PyTorch's float64 values. Limits come from the error of PyTorch's own float32 run. Exit code 1 when anything differs.",
    positionals: { name: 'golden file', min: 1, max: 10_000 },
    options: {
      only: { type: 'string', value: 'NAMES', help: 'only these cases of an operations file, separated by commas' },
      weights: {
        type: 'string',
        value: 'FILE',
        help: "a checkpoint to use in place of a model file's formula weights: does it hold them?",
      },
      adapter: { type: 'string', value: 'NAME', help: 'auto, default or swiftshader; default: BACKDROP_ADAPTER, else auto' },
    },
    examples: [
      'backdrop verify golden/ops-conv.safetensors',
      'backdrop verify golden/full-*.safetensors --json',
      'backdrop verify golden/full-rtdetr_r50vd-formula.safetensors --weights converted.safetensors',
    ],
  },

  async run(args, io) {
    for (const file of args.positionals) requireFile(file, 'verify');
    const adapter = typeof args.values.adapter === 'string' ? adapterChoice(args.values.adapter) : undefined;
    const only = typeof args.values.only === 'string' ? args.values.only.split(',') : undefined;
    const weights = textOption(args, 'weights');
    if (weights !== undefined) requireFile(weights, 'weights');
    return withSession(
      io,
      async (session) => {
        const total: Totals = { pass: 0, fail: 0, later: 0, tensors: 0 };
        let broken = 0;
        let told = false;
        for (const path of args.positionals) {
          try {
            const { adapter: info, report } = await verifyFile(session, path, io, only, weights);
            if (!told) tellAdapter(io, info);
            told = true;
            print(io, report);
            const counts = count(report);
            for (const key of ['pass', 'fail', 'later', 'tensors'] as const) total[key] += counts[key];
          } catch (error) {
            // One file that cannot be read or built says nothing about the others; a browser that died does.
            io.signal.throwIfAborted();
            if (error instanceof BackdropError && /^E_(CHROME|WEBGPU)_|^E_GPU_LOST$/.test(error.code)) throw error;
            const found = error instanceof BackdropError ? error : new BackdropError('E_VERIFY', String(error), { cause: error });
            broken += 1;
            io.progressDone();
            io.print(io.paint('red', `${basename(path)}: ${found.code}: ${found.message}`));
            if (found.hint) io.note(`  ${found.hint}`);
            io.emit({ type: 'error', file: path, ...found.toJSON() });
          }
        }
        return summary(io, total, broken) ? 0 : 1;
      },
      adapter ? { adapter } : {},
    );
  },
};

async function verifyFile(session: PageSession, path: string, io: Io, only?: string[], weights?: string): Promise<VerifyAnswer> {
  const name = basename(path);
  const photo = join(dirname(path), photoName);
  const request: VerifyRequest = {
    name,
    file: { url: session.file(path) },
    photo: existsSync(photo) ? session.file(photo) : null,
    ...(only ? { only } : {}),
    ...(weights === undefined ? {} : { weights: { url: session.file(weights), name: basename(weights) } }),
  };
  io.progress(`verifying ${name}`);
  const answer = await session.call<VerifyAnswer>('verify', request, {
    signal: io.signal,
    onProgress: ({ done, total }: VerifyProgress) => io.progress(`verifying ${name}`, done / total),
  });
  io.progressDone();
  if (only && answer.report.cases.length === 0) throw new BackdropError('E_VERIFY', `${name} has no case named ${only.join(' or ')}`);
  return answer;
}

function tellAdapter(io: Io, info: VerifyAnswer['adapter']): void {
  io.note(`adapter: ${adapterName(info)}`);
  if (info.software) io.warn(softwareWarning);
  io.emit({ type: 'adapter', ...info });
}

const number = (value: number | null): string => (value === null ? '-' : value === 0 ? '0' : value.toExponential(2)).padStart(9);

function print(io: Io, report: FileReport): void {
  io.print(io.paint('bold', `${report.file}${report.model ? ` (${report.model})` : ''}`));
  io.print(`  ${'tensor'.padEnd(nameWidth)} ${'error'.padStart(9)} ${'PyTorch'.padStart(9)} ${'limit'.padStart(9)}`);
  for (const c of report.cases) {
    for (const tensor of c.tensors) io.print(tensorLine(io, report, c, tensor));
    if (c.tensors.length === 0) {
      const word = c.status === 'later' ? io.paint('yellow', 'later') : io.paint('red', 'FAIL');
      io.print(`  ${c.name.padEnd(nameWidth)} ${word}  ${c.reason ?? ''}`);
    }
    io.emit({ type: 'case', file: report.file, ...c });
  }
  const { pass, fail, later, tensors } = count(report);
  const words = [
    `${pass} passed`,
    fail > 0 ? io.paint('red', `${fail} failed`) : '',
    later > 0 ? io.paint('yellow', `${later} later`) : '',
  ];
  io.print(`  ${words.filter(Boolean).join(', ')}; ${tensors} tensors`);
  io.emit({
    type: 'file',
    file: report.file,
    kind: report.kind,
    ...(report.model ? { model: report.model } : {}),
    pass,
    fail,
    later,
    tensors,
  });
}

const nameWidth = 46;

function tensorLine(io: Io, report: FileReport, c: CaseReport, t: TensorReport): string {
  // A model's file is run twice; its second run is told apart.
  const name = report.kind === 'operations' ? `${c.name}/${t.name}` : c.name === 'deployed' ? `deployed: ${t.name}` : t.name;
  const verdict = t.ok ? 'ok' : io.paint('red', 'FAIL');
  const remarks = [t.metric === 'max abs' ? '' : t.metric, t.against === 'float32' ? "against PyTorch's float32" : '', t.note ?? ''];
  return `  ${name.padEnd(nameWidth)} ${number(t.error)} ${number(t.torch)} ${number(t.limit)}  ${verdict}  ${remarks.filter(Boolean).join('; ')}`.trimEnd();
}

/** The last line. True when something was compared and everything agrees. */
function summary(io: Io, total: Totals, broken: number): boolean {
  const compared = total.pass + total.fail > 0;
  const ok = compared && total.fail === 0 && broken === 0;
  const words = [`${total.pass} cases passed`, `${total.fail} failed`, `${total.later} later`, `${total.tensors} tensors compared`];
  if (broken > 0) words.push(`${broken} files could not be verified`);
  const verdict = ok ? 'OK' : compared || broken > 0 ? 'FAILED' : 'NOTHING COMPARED';
  io.print(io.paint(ok ? 'green' : 'red', `${verdict}: ${words.join(', ')}`));
  io.emit({ type: 'summary', ...total, broken, ok });
  return ok;
}
