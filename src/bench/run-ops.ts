/** Page side of `bench ops`. */
import { type Gpu, openDevice } from '../gpu/device.ts';
import { KernelCache } from '../gpu/kernels.ts';
import { median, profileSteps } from '../gpu/profiler.ts';
import { ParameterStore } from '../graph/parameters.ts';
import { Program } from '../graph/program.ts';
import { dataOf, errorOf, flopsOf, opCases } from './cases.ts';
import { type Ceiling, measureCeiling } from './ceiling.ts';
import { traceCase } from './trace.ts';

export interface OpsRequest {
  rounds: number;
  /** Names of the cases. */
  cases: string[];
  variants: Record<string, string>;
}

export interface OpResult {
  name: string;
  kernels: string[];
  dispatches: number;
  /** Microseconds. */
  median: number;
  min: number;
  max: number;
  gflops: number;
  gbps: number;
  /** The larger of GFLOP/s and GB/s over the adapter's ceiling. */
  share: number;
  bound: 'arithmetic' | 'memory';
  /** Against float64, relative to the largest value. */
  error: number;
}

export interface OpsReport {
  adapter: Gpu['info'];
  method: string;
  quantum: number;
  ceiling: Ceiling;
  results: OpResult[];
}

export type BenchProgress = { label: string; fraction?: number };

export async function benchOps(request: OpsRequest, progress: (value: BenchProgress) => void): Promise<OpsReport> {
  const gpu = await openDevice();
  const kernels = new KernelCache(gpu);
  try {
    progress({ label: 'measuring the ceiling' });
    const ceiling = await measureCeiling(gpu, kernels);
    const cases = opCases.filter(({ name }) => request.cases.includes(name));
    const report: OpsReport = { adapter: gpu.info, method: '', quantum: 0, ceiling, results: [] };
    for (const [at, op] of cases.entries()) {
      progress({ label: op.name, fraction: at / cases.length });
      const data = dataOf(op);
      const { graph, inputs, order } = traceCase(op, data);
      const parameters = new ParameterStore(gpu, { readFloat32: () => Promise.reject(new Error('no checkpoint')) });
      const program = await Program.build(gpu, kernels, graph, parameters, { variants: request.variants });
      const error = errorOf(op, data, order((await program.run(inputs)).get('y') as Float32Array));
      const profile = await profileSteps(gpu, program.steps, { rounds: request.rounds });
      report.method = profile.method;
      report.quantum = profile.quantum;
      const sums = Array.from({ length: request.rounds }, (_, i) => profile.steps.reduce((sum, step) => sum + step.samples[i], 0));
      const time = median(sums);
      const gflops = flopsOf(op) / time / 1000;
      const gbps = profile.steps.reduce((sum, { bytes }) => sum + bytes, 0) / time / 1000;
      const [arithmetic, memory] = [gflops / ceiling.gflops, gbps / ceiling.gbps];
      report.results.push({
        name: op.name,
        kernels: [...new Set(program.steps.map(({ kernel }) => kernel))],
        dispatches: program.steps.length,
        median: time,
        min: sums[0],
        max: sums[sums.length - 1],
        gflops,
        gbps,
        share: Math.max(arithmetic, memory),
        bound: arithmetic >= memory ? 'arithmetic' : 'memory',
        error,
      });
      program.destroy();
      parameters.destroy();
    }
    gpu.check();
    return report;
  } finally {
    gpu.close();
  }
}
