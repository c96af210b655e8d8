/** "backdrop doctor": is everything here that detection needs, does it compute correctly, and what to do if not. */
import { freemem, release, totalmem } from 'node:os';
import { BackdropError } from '../../errors.ts';
import { adapterName } from '../adapter-name.ts';
import { columns } from '../args.ts';
import { adapterChoice, likelyAdapter, requireChrome } from '../chrome.ts';
import type { Command } from '../cli.ts';
import type { Io } from '../io.ts';
import type { PageReady } from '../jobs.ts';
import type { DoctorReport } from '../page-doctor.ts';
import { version } from '../version.ts';
import { withSession } from '../with-session.ts';

const megabytes = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;

/** The limits that decide which model and size run. */
const tellingLimits = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
];

interface Findings {
  backdrop: string;
  node: string;
  system: string;
  memory: { total: number; free: number };
  chrome: { path: string; source: string; version: string | null } | null;
  /** Adapter asked of Chrome, and what the page then saw. */
  asked: string;
  page: PageReady | null;
  gpu: DoctorReport | null;
  problems: { code: string; message: string; hint?: string }[];
  advice: string[];
}

export const doctor: Command = {
  spec: {
    name: 'doctor',
    summary: 'check Chrome, the WebGPU adapter and its arithmetic; say what to do',
    usage: '[--json]',
    description: 'Exit code 0 when detection will work on this machine, 3 when something is missing.',
    positionals: { name: 'argument', min: 0, max: 0 },
    options: {},
    examples: ['backdrop doctor', 'BACKDROP_ADAPTER=swiftshader backdrop doctor', 'CHROME_PATH=/opt/chrome/chrome backdrop doctor --json'],
  },
  async run(_, io) {
    const choice = adapterChoice();
    const findings: Findings = {
      backdrop: version(),
      node: process.version,
      system: `${process.platform} ${process.arch} ${release()}`,
      memory: { total: totalmem(), free: freemem() },
      chrome: null,
      asked: choice === 'auto' ? likelyAdapter() : choice,
      page: null,
      gpu: null,
      problems: [],
      advice: [],
    };
    try {
      findings.chrome = { ...requireChrome(), version: null };
      await withSession(io, (session) => examine(session, findings, io), { requireGpu: false });
    } catch (error) {
      io.signal.throwIfAborted();
      if (!(error instanceof BackdropError)) throw error;
      findings.problems.push(error.toJSON());
    }
    findings.advice.push(...advise(findings));
    io.emit({ type: 'doctor', ...findings });
    for (const line of describe(findings, io)) io.print(line);
    return findings.problems.length === 0 ? 0 : 3;
  },
};

async function examine(session: Parameters<Parameters<typeof withSession>[1]>[0], findings: Findings, io: Io): Promise<void> {
  const { path, version: chromeVersion, adapter } = session.chrome;
  findings.chrome = { path, source: findings.chrome?.source ?? '', version: chromeVersion };
  findings.asked = adapter;
  findings.page = session.gpu;
  io.progress('testing the adapter');
  const report = await session.call<DoctorReport>('doctor', null, { signal: io.signal, timeoutMs: 120_000 });
  findings.gpu = report;
  const { passed, failures, warnings } = report.selfTest;
  findings.advice.push(...warnings);
  if (!passed) {
    findings.problems.push({
      code: 'E_GPU_SELF_TEST',
      message: failures.join('; '),
      hint: 'Update the graphics driver, or compute on the processor with BACKDROP_ADAPTER=swiftshader.',
    });
  }
}

function advise(findings: Findings): string[] {
  const advice = findings.problems.flatMap(({ hint }) => (hint ? [hint] : []));
  const { gpu, asked, memory } = findings;
  if (gpu?.adapter.software) {
    advice.push(
      asked === 'swiftshader' && likelyAdapter() === 'default'
        ? 'A graphics card seems to be there; Chrome was asked for, or fell back to, the software adapter. BACKDROP_ADAPTER=default insists on the card.'
        : 'No graphics card is in reach, so the processor computes: correct, but slow. In a container, pass the GPU through (/dev/dri, or NVIDIA devices with Vulkan).',
    );
  }
  if (gpu && (gpu.limits.maxStorageBufferBindingSize ?? 0) < 2 ** 27) {
    advice.push('maxStorageBufferBindingSize is below 128 MiB, the WebGPU default: larger models may not fit.');
  }
  if (memory.free < 2 ** 30) advice.push('Less than 1 GiB of memory is free; large inputs may fail.');
  return advice;
}

function describe(findings: Findings, io: Io): string[] {
  const { chrome, page, gpu, problems, advice, memory } = findings;
  const mark = (ok: boolean) => (ok ? io.paint('green', 'ok') : io.paint('red', 'FAILED'));
  const rows: [string, string][] = [
    ['Backdrop', `${findings.backdrop}, Node ${findings.node}, ${findings.system}`],
    ['Memory', `${megabytes(memory.total)}, ${megabytes(memory.free)} free`],
    ['Chrome', chrome ? `${chrome.version ?? 'did not start'} (${chrome.path}, ${chrome.source})` : mark(false)],
  ];
  if (page) rows.push(['WebGPU', page.webgpu ? mark(page.adapter !== null) : `${mark(false)} (not in this browser)`]);
  const lines: string[] = [];
  if (gpu) {
    const { adapter, limits, features, selfTest, memory: pageMemory } = gpu;
    rows.push(['Adapter', `${adapterName(adapter)}${adapter.software ? io.paint('yellow', ' (software adapter)') : ''}`]);
    rows.push([
      'Subgroups',
      features.includes('subgroups') ? `${adapter.subgroupMinSize} to ${adapter.subgroupMaxSize} lanes` : 'not offered',
    ]);
    if (pageMemory.heapLimit !== null) rows.push(['Page memory', `${megabytes(pageMemory.heapLimit)} of JavaScript heap`]);
    lines.push('', io.paint('bold', 'Self-test'));
    for (const { name, ok, error, allowed } of selfTest.checks) {
      lines.push(`  ${name}: ${mark(ok)} (error ${error.toExponential(1)}, ${allowed} allowed)`);
    }
    lines.push('', io.paint('bold', 'Limits'));
    lines.push(...columns(tellingLimits.map((name) => [name, String(limits[name] ?? 'not offered')] as const)));
    lines.push('', io.paint('bold', 'Features'), `  ${features.join(', ') || 'none'}`);
  }
  if (problems.length > 0) {
    lines.push('', io.paint('bold', 'Problems'), ...problems.map(({ code, message }) => `  ${io.paint('red', code)}: ${message}`));
  }
  if (advice.length > 0) lines.push('', io.paint('bold', 'Advice'), ...advice.map((text) => `  ${text}`));
  return [...columns(rows), ...lines];
}
