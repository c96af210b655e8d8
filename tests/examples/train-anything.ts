import {
  fold,
  Graph,
  KernelCache,
  launch,
  layoutParams,
  nn,
  type Operation,
  openDevice,
  ops,
  ParameterTable,
  shaderFromText,
  type Tensor,
} from 'backdrop';
import { GraphStep, Training } from 'backdrop/training';

const shader = shaderFromText(
  'mirror',
  /* wgsl */ `
  struct Params { rows: u32, columns: u32, x_offset: u32, x_pitch: u32, x_batch: u32, y_offset: u32, y_pitch: u32, y_batch: u32 }
  @group(0) @binding(0) var<storage, read> x: array<f32>;
  @group(0) @binding(1) var<storage, read_write> y: array<f32>;
  @group(0) @binding(2) var<uniform> params: Params;

  @compute @workgroup_size(64)
  fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
    let i = (group.y * groups.x + group.x) * 64u + local;
    let row = i / params.columns;
    if (row >= params.rows) { return; }
    let c = i % params.columns;
    let from_row = params.x_offset + group.z * params.x_batch + row * params.x_pitch;
    y[params.y_offset + group.z * params.y_batch + row * params.y_pitch + c] = x[from_row + params.columns - 1u - c];
  }`,
);

/** Columns in the opposite order. The gradient of a mirror image is mirrored, too. */
const mirrorOperation: Operation<null> = {
  name: 'mirror',
  infer: ([x]) => [{ shape: x.shape }],
  lower: ({ inputs: [x], outputs: [y] }) => [
    launch(shader, {
      bind: { x, y },
      params: { rows: y.rows, columns: y.columns, ...layoutParams('x', x, 1), ...layoutParams('y', y, 1) },
      grid: [...fold(Math.ceil((y.rows * y.columns) / 64)), y.images],
    }),
  ],
  gradient: (_node, [g]) => [mirror(g!)],
};
export const mirror = (x: Tensor): Tensor => x.graph.add(mirrorOperation, [x], null)[0];

/** Pointwise: the arithmetic is all there is to write. Kernels, fusion and the derivative follow from it. */
const softsign = (x: Tensor): Tensor =>
  ops.pointwise({ name: 'softsign', arity: 1, value: (m, [v]) => m.div(v, m.add(m.constant(1), m.abs(v))) }, [x]);

/** A convolution with batch norm, both operations, the mean of each map, and a linear classifier. */
export async function trainClassifier(images: Float32Array, labels: readonly number[], steps: number) {
  const [size, batch, classes] = [16, labels.length, 3];
  const parameters = new ParameterTable();
  const scope = new nn.Scope(parameters);
  const convolution = new nn.ConvNorm(scope.child('conv'), { inputs: 3, outputs: 8, kernel: 3, stride: 2 });
  const classifier = new nn.Linear(scope.child('head'), 8, classes);

  const graph = new Graph();
  const training = new Training(graph); // batch norms use the batch's statistics and move the running ones
  const context = new nn.Context(graph, undefined, training);
  const maps = mirror(softsign(convolution.forward(context, graph.input('image', [batch, size, size, 3]))));
  const logits = ops.reshape(classifier.forward(context, ops.globalAvgPool(maps)), [batch, classes]);
  const losses = ops.crossEntropy(logits, graph.input('labels', [batch, classes]));

  const gpu = await openDevice();
  const weights = { readFloat32: async (name: string) => startingValues(name, parameters.get(name)!.shape) };
  const model = { graph, parameters, losses, statistics: training.statistics };
  const step = await GraphStep.build(gpu, new KernelCache(gpu), model, weights, { rate: 1e-2, decay: 0, average: false });
  const oneHot = Float32Array.from({ length: batch * classes }, (_, i) => (labels[Math.floor(i / classes)] === i % classes ? 1 : 0));
  const history: number[] = [];
  for (let k = 0; k < steps; k++) history.push((await step.step({ image: images, labels: oneHot })).loss);
  const state = await step.save();
  step.destroy();
  gpu.close();
  return { history, state };
}

function startingValues(name: string, shape: readonly number[]): Float32Array {
  const length = shape.reduce((a, b) => a * b, 1);
  if (/norm\.weight$|running_var$/.test(name)) return new Float32Array(length).fill(1);
  if (shape.length < 2) return new Float32Array(length);
  return Float32Array.from({ length }, (_, i) => Math.sin(i * 12.9898 + length) / Math.sqrt(length / shape[0]));
}
