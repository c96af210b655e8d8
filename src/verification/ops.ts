/** Verifies a file of single operations: every case is built with our operations, run, and compared output by output. */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import { ParameterStore } from '../graph/parameters.ts';
import { Program } from '../graph/program.ts';
import { CaseBuilder, type CaseRecipe, Later } from './case.ts';
import { denseCases } from './cases/dense.ts';
import { indexCases } from './cases/index.ts';
import { normaliseCases } from './cases/normalise.ts';
import { pointwiseCases } from './cases/pointwise.ts';
import { poolCases } from './cases/pool.ts';
import { compareOperation } from './compare.ts';
import { type GoldenTensor, type OpsCase, type OpsFile, readTensor } from './golden.ts';
import { type CaseReport, caseReport, type TensorReport } from './report.ts';

const recipes: Record<string, CaseRecipe> = {
  ...denseCases,
  ...indexCases,
  ...normaliseCases,
  ...pointwiseCases,
  ...poolCases,
};

/** Operations that belong to parts of Backdrop which are not built yet, and which those are. */
const LATER: Record<string, string> = {
  criterion: 'the criterion comes with training',
  linear_sum_assignment: 'the matcher comes with training',
  adamw: 'the optimizer comes with training',
  clip_grad_norm: 'the optimizer comes with training',
  ema: 'the optimizer comes with training',
  scatter_add: 'scatter is a gradient; it comes with training',
  bam_pretrain: 'pre-training the BAM comes with training',
  bam_pretrain_sgd: 'pre-training the BAM comes with training',
  region_labels: 'labels of regions come with pre-training the BAM',
  grad_cam: 'heatmaps come with the demo page',
};

export interface OpsContext {
  readonly gpu: Gpu;
  readonly kernels: KernelCache;
  /** Kernel variants forced by operation name. */
  readonly variants?: Readonly<Record<string, string>>;
}

/** Runs one case. Never throws for what the case itself brings: that is its report. */
export async function verifyCase(file: OpsFile, golden: OpsCase, context: OpsContext): Promise<CaseReport> {
  const recipe = Object.hasOwn(recipes, golden.op) ? recipes[golden.op] : undefined;
  if (!recipe) {
    const reason = Object.hasOwn(LATER, golden.op) ? LATER[golden.op] : `Backdrop has no operation "${golden.op}"`;
    return { name: golden.name, status: 'later', reason, tensors: [] };
  }
  try {
    return caseReport(golden.name, await runCase(file, golden, recipe, context));
  } catch (error) {
    // A device that failed fails every case after this one: not this case's fault alone.
    if (context.gpu.failure) throw error;
    if (error instanceof Later) return { name: golden.name, status: 'later', reason: error.message, tensors: [] };
    const reason = error instanceof BackdropError ? `${error.code}: ${error.message}` : String(error);
    return { name: golden.name, status: 'fail', reason, tensors: [] };
  }
}

async function runCase({ source }: OpsFile, golden: OpsCase, recipe: CaseRecipe, context: OpsContext): Promise<TensorReport[]> {
  const inputs = new Map<string, GoldenTensor>();
  for (const name of golden.inputs) inputs.set(name, await readTensor(source, `${golden.name}/in/${name}`));
  const references = new Map<string, GoldenTensor>();
  for (const name of golden.outputs) references.set(name, await readTensor(source, `${golden.name}/out/${name}`));
  const builder = new CaseBuilder(golden, inputs, new Map([...references].map(([name, { shape }]) => [name, shape])));
  recipe(builder);
  const results = await compute(builder, context);
  return [...references].map(([name, { values }]) => {
    const ours = results.get(name);
    if (!ours) throw new BackdropError('E_VERIFY', `nothing computes the output ${name}`);
    return compareOperation(name, ours, values, golden.recorded.get(name), builder.exact.has(name));
  });
}

async function compute(
  { graph, feeds, conversions, hostResults, source }: CaseBuilder,
  { gpu, kernels, variants = {} }: OpsContext,
): Promise<Map<string, ArrayLike<number>>> {
  const results = new Map(hostResults);
  if (graph.outputs.size === 0) return results;
  const parameters = new ParameterStore(gpu, source);
  let program: Program | null = null;
  try {
    program = await Program.build(gpu, kernels, graph, parameters, { variants });
    for (const [name, values] of await program.run(feeds))
      results.set(name, conversions.get(name)!(values, graph.outputs.get(name)!.shape));
    return results;
  } finally {
    program?.destroy();
    parameters.destroy();
  }
}
