/** Gradients of one golden case: its graph is differentiated, seeded with PyTorch's upstream gradients, run and compared. */
import { BackdropError } from '../errors.ts';
import type { Tensor } from '../graph/graph.ts';
import { gradients } from '../ops/gradient.ts';
import { pullBack, pushForward } from './adjoint.ts';
import { type CaseBuilder, Later } from './case.ts';
import { compareOperation } from './compare.ts';
import { type GoldenTensor, type OpsCase, type OpsFile, readTensor } from './golden.ts';
import type { TensorReport } from './report.ts';

type Masked = (shape: readonly number[], values: ArrayLike<number>) => ArrayLike<number>;
type Run = (builder: CaseBuilder) => Promise<ReadonlyMap<string, ArrayLike<number>>>;

/**
 * Turns a case's graph into that of its gradients and compares them.
 * @param atPadding zeroes what stands at padding of the batch, where nothing is specified
 * @throws Later when an operation on the way has no gradient
 */
export async function compareGradients(
  { source }: OpsFile,
  golden: OpsCase,
  builder: CaseBuilder,
  atPadding: Masked,
  run: Run,
): Promise<TensorReport[]> {
  const upstream = new Map<string, GoldenTensor>();
  for (const name of golden.upstream) upstream.set(name, await readTensor(source, `${golden.name}/gout/${name}`));
  const leaves = builder.leaves.filter(({ inputs }) => inputs.some((input) => golden.grads.includes(input)));
  const found = differentiate(
    builder,
    seedsOf(builder, upstream, atPadding),
    leaves.map(({ tensor }) => tensor),
  );
  builder.graph.outputs.clear();
  builder.conversions.clear();
  leaves.forEach(({ tensor }, i) => {
    const gradient = found.get(tensor);
    if (gradient) builder.result(`${i}`, gradient);
  });
  const results = await run(builder);
  const reports: TensorReport[] = [];
  for (const name of golden.grads) {
    const reference = await readTensor(source, `${golden.name}/grad/${name}`);
    const total = new Float64Array(reference.values.length);
    leaves.forEach((leaf, i) => {
      const gradient = results.get(`${i}`);
      const from = leaf.sources[leaf.inputs.indexOf(name)];
      if (gradient && from !== undefined) pullBack(leaf.build, leaf.get, from, gradient, total);
    });
    const recorded = golden.recorded.get(`grad/${name}`);
    const report = compareOperation(name, total, reference.values, recorded);
    reports.push(
      leaves.some(({ inputs }) => inputs.includes(name)) ? report : { ...report, ok: false, note: 'our graph has no such input' },
    );
  }
  return reports;
}

/** PyTorch's upstream gradients as inputs of the graph. */
function seedsOf(builder: CaseBuilder, upstream: ReadonlyMap<string, GoldenTensor>, atPadding: Masked): Map<Tensor, Tensor> {
  const seeds = new Map<Tensor, Tensor>();
  for (const [name, { shape, values }] of upstream) {
    const output = builder.graph.outputs.get(name);
    const convert = builder.conversions.get(name);
    if (!output || !convert) throw new BackdropError('E_VERIFY', `nothing computes the output ${name}`);
    const seed = builder.graph.input(`gout/${name}`, output.shape);
    builder.feeds[`gout/${name}`] = pushForward((own) => convert(own, output.shape), output.size, atPadding(shape, values));
    seeds.set(output, seed);
  }
  return seeds;
}

function differentiate({ graph }: CaseBuilder, seeds: ReadonlyMap<Tensor, Tensor>, wanted: readonly Tensor[]): Map<Tensor, Tensor> {
  try {
    return gradients(graph, seeds, wanted);
  } catch (error) {
    if (error instanceof BackdropError && typeof error.details.withoutGradient === 'string') {
      throw new Later(`the operation ${error.details.withoutGradient} has no gradient`);
    }
    throw error;
  }
}
