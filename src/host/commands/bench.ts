/** "backdrop bench": how fast this adapter runs the operations and the models, and how that compares with other frameworks. */
import { opCases } from '../../bench/cases.ts';
import { type OpComparison, type PeerName, type PeersRequest, peerNames } from '../../bench/comparison.ts';
import type { OpsReport, OpsRequest } from '../../bench/run-ops.ts';
import { type Args, numberOption, textOption, usageError } from '../args.ts';
import { withPeers } from '../bench/peers.ts';
import { ceilingLine, comparisonSummary, comparisonTable, opsTable } from '../bench/tables.ts';
import type { Command } from '../cli.ts';
import type { Io } from '../io.ts';
import { adapterName, softwareWarning, withSession } from '../with-session.ts';

const suites = ['ops', 'model', 'peers'] as const;

export const bench: Command = {
  spec: {
    name: 'bench',
    summary: 'time the operations and models on this adapter, alone or beside other frameworks',
    usage: '[ops|model|peers] [options]',
    description: [
      'ops (default): each operation at the shapes of the detectors, with its share of what the adapter can do at most.',
      'model: whole forward passes: time, dispatches, pipelines, memory, JavaScript time, slowest kernels.',
      'peers: the operations and RT-DETR-R18 beside tfjs, ONNX Runtime Web and jax-js, interleaved in one page. Needs a clone of',
      'the repository; installs the peers into tests/peers when they are missing.',
    ].join('\n'),
    positionals: { name: 'suite', min: 0, max: 1 },
    options: {
      model: { type: 'string', value: 'NAME,...', help: 'model suite: which models (default: the R18, R34 and R50 families)' },
      size: { type: 'string', value: 'N', help: 'model suite: input size, a multiple of 32 (default 640)' },
      plan: { type: 'boolean', help: "model suite: print each model's memory plan" },
      rounds: { type: 'string', value: 'N', help: 'measurements of each thing (default 5)' },
      cases: { type: 'string', value: 'TEXT,...', help: 'ops, peers: only cases whose name contains one of these, as in "matmul,softmax"' },
      only: { type: 'string', value: 'PEER,...', help: 'peers: only these of tfjs, ort, jax' },
      variant: { type: 'string', value: 'OP=NAME,...', help: 'force kernel variants, as in gemm=registers' },
    },
    examples: [
      'backdrop bench',
      'backdrop bench model --model association-detr-r34 --plan',
      'backdrop bench peers --only jax --cases matmul',
    ],
  },
  async run(args, io) {
    const suite = args.positionals[0] ?? 'ops';
    if (suite === 'ops') return benchOps(args, io);
    if (suite === 'peers') return benchPeers(args, io);
    throw usageError(`unknown suite "${suite}"`, `Suites: ${suites.join(', ')}.`);
  },
};

/** A comma-separated option. */
export const listOption = (args: Args, name: string): string[] => textOption(args, name)?.split(',').filter(Boolean) ?? [];

function variantsOption(args: Args): Record<string, string> {
  const pairs = listOption(args, 'variant').map((text) => text.split('='));
  if (pairs.some((pair) => pair.length !== 2 || pair.includes('')))
    throw usageError('--variant takes OPERATION=NAME, as in gemm=registers');
  return Object.fromEntries(pairs);
}

const rounds = (args: Args, fallback = 5): number => numberOption(args, 'rounds', fallback, { min: 1, max: 1000, integer: true });

/** Progress lines of the page's long calls. */
export function showProgress(io: Io): (progress: { label: string; fraction?: number }) => void {
  return ({ label, fraction }) => io.progress(label, fraction);
}

async function benchOps(args: Args, io: Io): Promise<number> {
  const request: OpsRequest = { rounds: rounds(args), cases: listOption(args, 'cases'), variants: variantsOption(args) };
  await withSession(io, async (session) => {
    const report = await session.call<OpsReport>('bench ops', request, { onProgress: showProgress(io), signal: io.signal });
    io.progressDone();
    if (report.adapter.software) io.warn(softwareWarning);
    io.emit({ type: 'bench-ops', chrome: session.chrome.version, ...report });
    io.print(`${adapterName(report.adapter)} | ${session.chrome.version} | ${timingLine(report)}`);
    io.print(ceilingLine(report.ceiling));
    io.print('');
    for (const line of opsTable(report.results)) io.print(line);
  });
  return 0;
}

function timingLine({ method, quantum }: OpsReport): string {
  if (method === 'wall clock') return 'timed by the wall clock (no timestamp-query)';
  return `timed by GPU timestamps, ${quantum >= 1000 ? `rounded to ${quantum / 1000} µs` : 'not rounded'}`;
}

async function benchPeers(args: Args, io: Io): Promise<number> {
  const only = listOption(args, 'only');
  const unknown = only.find((name) => !peerNames.includes(name as PeerName));
  if (unknown) throw usageError(`unknown peer "${unknown}"`, `Peers: ${peerNames.join(', ')}.`);
  const peers = peerNames.filter((name) => only.length === 0 || only.includes(name));
  const wanted = listOption(args, 'cases');
  const cases = opCases.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  const request: PeersRequest = { peers, variants: variantsOption(args) };
  await withPeers(io, request, async (page) => {
    const { started } = page;
    for (const [name, problem] of Object.entries(started.failed)) io.warn(`${name} did not start: ${problem}`);
    if (started.adapter.software) io.warn(softwareWarning);
    const comparisons: OpComparison[] = [];
    for (const [at, { name }] of cases.entries()) {
      io.progress(name, at / cases.length);
      comparisons.push(await page.compare(name, rounds(args)));
    }
    io.progressDone();
    io.emit({ type: 'bench-peers', chrome: page.chrome, adapter: started.adapter, comparisons });
    io.print(`${adapterName(started.adapter)} | ${page.chrome} | medians of ${rounds(args)} rounds, everyone in turn`);
    io.print('');
    for (const line of comparisonTable(started.subjects, comparisons)) io.print(line);
    io.print('');
    io.print(comparisonSummary(comparisons));
  });
  return 0;
}
