/** Verifies a file of single operations: every case is built with our operations, run, and compared output by output. */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import { ParameterStore } from '../graph/parameters.ts';
import { Program } from '../graph/program.ts';
import { CaseBuilder, type CaseRecipe, Later } from './case.ts';
import { associationCases } from './cases/association.ts';
import { attentionCases } from './cases/attention.ts';
import { backgroundCases } from './cases/background.ts';
import { denseCases } from './cases/dense.ts';
import { indexCases } from './cases/index.ts';
import { lossCases } from './cases/loss.ts';
import { normaliseCases } from './cases/normalise.ts';
import { pointwiseCases } from './cases/pointwise.ts';
import { poolCases } from './cases/pool.ts';
import { compareFloored, compareOperation } from './compare.ts';
import { type GoldenTensor, type OpsCase, type OpsFile, readTensor } from './golden.ts';
import { compareGradients } from './gradients.ts';
import { type CaseReport, caseReport, type TensorReport } from './report.ts';
import { isTrainingCase, runTrainingCase } from './training-cases.ts';

const recipes: Record<string, CaseRecipe> = {
  ...associationCases,
  ...attentionCases,
  ...backgroundCases,
  ...denseCases,
  ...indexCases,
  ...lossCases,
  ...normaliseCases,
  ...pointwiseCases,
  ...poolCases,
};

export interface OpsContext {
  readonly gpu: Gpu;
  readonly kernels: KernelCache;
  /** Kernel variants forced by operation name. */
  readonly variants?: Readonly<Record<string, string>>;
}

/**
 * Runs one case: its results, and as a case of its own, `<name>/grad`, the gradients where the file holds some. Never throws for
 * what the case itself brings: that is its report.
 */
export async function verifyCase(file: OpsFile, golden: OpsCase, context: OpsContext): Promise<CaseReport[]> {
  if (isTrainingCase(golden)) {
    const whole = await report(golden.name, context, () => runTrainingCase(file.source, golden, context));
    const gradients = whole.tensors.filter(({ name }) => name.startsWith('grad/'));
    if (gradients.length === 0) return [whole];
    const results = whole.tensors.filter((tensor) => !gradients.includes(tensor));
    const named = gradients.map((tensor) => ({ ...tensor, name: tensor.name.slice('grad/'.length) }));
    return [caseReport(golden.name, results), caseReport(`${golden.name}/grad`, named)];
  }
  const recipe = Object.hasOwn(recipes, golden.op) ? recipes[golden.op] : undefined;
  if (!recipe) {
    return [{ name: golden.name, status: 'later', reason: `Backdrop has no operation "${golden.op}"`, tensors: [] }];
  }
  const results = await report(golden.name, context, () => compareResults(file, golden, recipe, context));
  if (golden.grads.length === 0 || results.status === 'later') return [results];
  return [results, await report(`${golden.name}/grad`, context, () => gradientsOf(file, golden, recipe, context))];
}

async function report(name: string, { gpu }: OpsContext, tensors: () => Promise<TensorReport[]>): Promise<CaseReport> {
  try {
    return caseReport(name, await tensors());
  } catch (error) {
    // A device that failed fails every case after this one: not this case's fault alone.
    if (gpu.failure) throw error;
    if (error instanceof Later) return { name, status: 'later', reason: error.message, tensors: [] };
    const reason = error instanceof BackdropError ? `${error.code}: ${error.message}` : String(error);
    return { name, status: 'fail', reason, tensors: [] };
  }
}

async function build({ source }: OpsFile, golden: OpsCase, recipe: CaseRecipe) {
  const inputs = new Map<string, GoldenTensor>();
  for (const name of golden.inputs) inputs.set(name, await readTensor(source, `${golden.name}/in/${name}`));
  const references = new Map<string, GoldenTensor>();
  for (const name of golden.outputs) references.set(name, await readTensor(source, `${golden.name}/out/${name}`));
  const builder = new CaseBuilder(golden, inputs, new Map([...references].map(([name, { shape }]) => [name, shape])));
  recipe(builder);
  return { builder, inputs, references };
}

async function compareResults(file: OpsFile, golden: OpsCase, recipe: CaseRecipe, context: OpsContext): Promise<TensorReport[]> {
  const { builder, inputs, references } = await build(file, golden, recipe);
  const results = await compute(builder, context);
  return [...references].map(([name, reference]) => {
    const result = results.get(name);
    if (!result) throw new BackdropError('E_VERIFY', `nothing computes the output ${name}`);
    if (builder.floored.has(name)) return compareFloored(name, result, reference.values);
    const [ours, values] = [result, reference.values].map((all) => atPadding(golden, inputs.get('pad'), reference.shape, all));
    return compareOperation(name, ours, values, golden.recorded.get(name), builder.exact.has(name));
  });
}

async function gradientsOf(file: OpsFile, golden: OpsCase, recipe: CaseRecipe, context: OpsContext): Promise<TensorReport[]> {
  const { builder, inputs } = await build(file, golden, recipe);
  const masked = (shape: readonly number[], values: ArrayLike<number>) => atPadding(golden, inputs.get('pad'), shape, values);
  return compareGradients(file, golden, builder, masked, (differentiated) => compute(differentiated, context));
}

/** What stands at padding of the batch is unspecified: zero on both sides. */
function atPadding(golden: OpsCase, pad: GoldenTensor | undefined, shape: readonly number[], values: ArrayLike<number>): ArrayLike<number> {
  if (!pad || shape.length !== 4) return values;
  const last = golden.attrs.layout === 'NHWC';
  const [n, h, w] = pad.shape;
  const channels = last ? shape[3] : shape[1];
  if (values.length !== n * h * w * channels) return values;
  return Float32Array.from(values, (value, i) => {
    const cell = last ? Math.floor(i / channels) : Math.floor(i / (h * w * channels)) * h * w + (i % (h * w));
    return pad.values[cell] ? 0 : value;
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
