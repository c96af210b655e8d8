/**
 * RT-DETR (arXiv 2304.08069) as an ONNX file, as the official code exports it for inference: batch norms folded, RepVGG branches
 * merged, basic ResNet blocks. Input `image` [1, 3, size, size], outputs `logits` [1, queries, classes], `boxes` [1, queries, 4]
 * and the best class logit of every token, `scores` [1, tokens].
 * Average pools are written as reshape and mean, since jax-js's loader has no AveragePool.
 */
import { makeAnchors } from '../../src/models/anchors.ts';
import type { ModelConfig } from '../../src/models/configs.ts';
import { positionEmbedding } from '../../src/models/hybrid-encoder.ts';
import { OnnxGraph } from './onnx.ts';

/** A map [1, channels, size, size], or tokens [1, size, channels]. */
interface Value {
  name: string;
  channels: number;
  size: number;
}

type Activation = 'relu' | 'silu' | null;

class Writer {
  readonly graph = new OnnxGraph();
  readonly #get: (name: string) => Float32Array;

  constructor(get: (name: string) => Float32Array) {
    this.#get = get;
  }

  activate(name: string, activation: Activation): string {
    if (activation === 'relu') return this.graph.add('Relu', [name]);
    return activation === 'silu' ? this.graph.add('Mul', [name, this.graph.add('Sigmoid', [name])]) : name;
  }

  /** Convolution weights with their batch norm folded in. */
  #folded(conv: string, norm: string): { weight: Float32Array; bias: Float32Array } {
    const weight = Float32Array.from(this.#get(`${conv}.weight`));
    const [gamma, beta, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map((part) => this.#get(`${norm}.${part}`));
    const scale = gamma.map((g, i) => g / Math.sqrt(variance[i] + 1e-5));
    const row = weight.length / scale.length;
    for (let i = 0; i < weight.length; i++) weight[i] *= scale[Math.floor(i / row)];
    return { weight, bias: beta.map((b, i) => b - mean[i] * scale[i]) };
  }

  #conv(x: Value, { weight, bias }: { weight: Float32Array; bias: Float32Array }, kernel: number, stride: number): Value {
    const channels = bias.length;
    const pad = (kernel - 1) / 2;
    const inputs = [x.name, this.graph.floats(weight, [channels, x.channels, kernel, kernel]), this.graph.floats(bias, [channels])];
    const attributes = {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [pad, pad, pad, pad],
      dilations: [1, 1],
      group: 1,
    };
    return { name: this.graph.add('Conv', inputs, attributes), channels, size: x.size / stride };
  }

  /** Convolution, batch norm, activation. */
  unit(x: Value, prefix: string, kernel: number, stride: number, activation: Activation, names = ['conv', 'norm']): Value {
    const y = this.#conv(x, this.#folded(`${prefix}.${names[0]}`, `${prefix}.${names[1]}`), kernel, stride);
    return { ...y, name: this.activate(y.name, activation) };
  }

  repVgg(x: Value, prefix: string): Value {
    const large = this.#folded(`${prefix}.conv1.conv`, `${prefix}.conv1.norm`);
    const small = this.#folded(`${prefix}.conv2.conv`, `${prefix}.conv2.norm`);
    small.weight.forEach((w, i) => {
      large.weight[i * 9 + 4] += w;
    });
    small.bias.forEach((b, i) => {
      large.bias[i] += b;
    });
    const y = this.#conv(x, large, 3, 1);
    return { ...y, name: this.activate(y.name, 'silu') };
  }

  reshape(name: string, shape: readonly number[]): string {
    return this.graph.add('Reshape', [name, this.graph.integers(shape)]);
  }

  transpose(name: string, perm: readonly number[]): string {
    return this.graph.add('Transpose', [name], { perm });
  }

  halve(x: Value): Value {
    const half = x.size / 2;
    const cells = this.reshape(x.name, [1, x.channels, half, 2, half, 2]);
    return { ...x, name: this.graph.add('ReduceMean', [cells], { axes: [3, 5], keepdims: 0 }), size: half };
  }

  double(x: Value): Value {
    const attributes = { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
    const scales = this.graph.floats(Float32Array.of(1, 1, 2, 2), [4]);
    return { ...x, name: this.graph.add('Resize', [x.name, '', scales], attributes), size: x.size * 2 };
  }

  join(a: Value, b: Value): Value {
    return { ...a, name: this.graph.add('Concat', [a.name, b.name], { axis: 1 }), channels: a.channels + b.channels };
  }

  tokens(x: Value): string {
    return this.transpose(this.reshape(x.name, [1, x.channels, x.size * x.size]), [0, 2, 1]);
  }

  add(a: string, b: string): string {
    return this.graph.add('Add', [a, b]);
  }

  mul(a: string, b: string): string {
    return this.graph.add('Mul', [a, b]);
  }

  /** Rows [start, end) of a PyTorch linear layer, on tokens. */
  linear(x: string, weight: string, bias: string, inputs: number, start = 0, end?: number): string {
    const rows = this.#get(weight).subarray(start * inputs, end === undefined ? undefined : end * inputs);
    const outputs = rows.length / inputs;
    const transposed = new Float32Array(rows.length);
    for (let o = 0; o < outputs; o++) for (let i = 0; i < inputs; i++) transposed[i * outputs + o] = rows[o * inputs + i];
    const product = this.graph.add('MatMul', [x, this.graph.floats(transposed, [inputs, outputs])]);
    return this.add(product, this.graph.floats(this.#get(bias).slice(start, end), [outputs]));
  }

  layer(x: string, prefix: string, inputs: number): string {
    return this.linear(x, `${prefix}.weight`, `${prefix}.bias`, inputs);
  }

  mlp(x: string, prefix: string, sizes: readonly number[]): string {
    return sizes.reduce((v, inputs, i) => this.layer(i === 0 ? v : this.graph.add('Relu', [v]), `${prefix}.layers.${i}`, inputs), x);
  }

  norm(x: string, prefix: string): string {
    const [weight, bias] = ['weight', 'bias'].map((part) => this.#get(`${prefix}.${part}`));
    const inputs = [x, this.graph.floats(weight, [weight.length]), this.graph.floats(bias, [bias.length])];
    return this.graph.add('LayerNormalization', inputs, { axis: -1, epsilon: { float: 1e-5 } });
  }

  /** Self-attention with q = k = x + position, v = x. */
  attention(x: string, position: string, prefix: string, size: number, heads: number, count: number): string {
    const width = size / heads;
    const qk = this.add(x, position);
    const project = (input: string, part: number) => {
      const y = this.linear(input, `${prefix}.in_proj_weight`, `${prefix}.in_proj_bias`, size, part * size, (part + 1) * size);
      return this.reshape(y, [1, count, heads, width]);
    };
    const q = this.transpose(this.mul(project(qk, 0), this.graph.scalar(1 / Math.sqrt(width))), [0, 2, 1, 3]);
    const k = this.transpose(project(qk, 1), [0, 2, 3, 1]);
    const v = this.transpose(project(x, 2), [0, 2, 1, 3]);
    const weights = this.graph.add('Softmax', [this.graph.add('MatMul', [q, k])], { axis: -1 });
    const mixed = this.transpose(this.graph.add('MatMul', [weights, v]), [0, 2, 1, 3]);
    return this.layer(this.reshape(mixed, [1, count, size]), `${prefix}.out_proj`, size);
  }

  inverseSigmoid(x: string): string {
    const inside = this.graph.add('Clip', [x, this.graph.scalar(0), this.graph.scalar(1)]);
    const eps = this.graph.scalar(1e-5);
    const above = this.graph.add('Max', [inside, eps]);
    const below = this.graph.add('Max', [this.graph.add('Sub', [this.graph.scalar(1), inside]), eps]);
    return this.graph.add('Log', [this.graph.add('Div', [above, below])]);
  }
}

function backbone(w: Writer, config: ModelConfig, image: Value): Value[] {
  let x = w.unit(image, 'backbone.conv1.conv1_1', 3, 2, 'relu');
  x = w.unit(x, 'backbone.conv1.conv1_2', 3, 1, 'relu');
  x = w.unit(x, 'backbone.conv1.conv1_3', 3, 1, 'relu');
  const pool = { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] };
  x = { ...x, name: w.graph.add('MaxPool', [x.name], pool), size: x.size / 2 };
  const maps = config.counts.map((count, stage) => {
    for (let i = 0; i < count; i++) {
      const prefix = `backbone.res_layers.${stage}.blocks.${i}`;
      const stride = stage > 0 && i === 0 ? 2 : 1;
      const branch = w.unit(w.unit(x, `${prefix}.branch2a`, 3, stride, 'relu'), `${prefix}.branch2b`, 3, 1, null);
      let short = x;
      if (i === 0) short = stride === 2 ? w.unit(w.halve(x), `${prefix}.short.conv`, 1, 1, null) : w.unit(x, `${prefix}.short`, 1, 1, null);
      x = { ...branch, name: w.graph.add('Relu', [w.add(branch.name, short.name)]) };
    }
    return x;
  });
  return maps.slice(1);
}

function encoder(w: Writer, config: ModelConfig, maps: readonly Value[]): Value[] {
  const { encoderHidden: size, heads } = config;
  const [fine, middle, coarse] = maps.map((map, i) => w.unit(map, `encoder.input_proj.${i}`, 1, 1, null, ['0', '1']));
  const count = coarse.size ** 2;
  const position = w.graph.floats(positionEmbedding(coarse.size, coarse.size, size), [1, count, size]);
  const prefix = 'encoder.encoder.0.layers.0';
  const tokens = w.tokens(coarse);
  const x = w.norm(w.add(tokens, w.attention(tokens, position, `${prefix}.self_attn`, size, heads, count)), `${prefix}.norm1`);
  const inner = w.layer(x, `${prefix}.linear1`, size);
  const erf = w.graph.add('Erf', [w.mul(inner, w.graph.scalar(Math.SQRT1_2))]);
  const gelu = w.mul(w.mul(inner, w.graph.scalar(0.5)), w.add(erf, w.graph.scalar(1)));
  const y = w.norm(w.add(x, w.layer(gelu, `${prefix}.linear2`, config.encoderFfn)), `${prefix}.norm2`);
  const aifi = { ...coarse, name: w.reshape(w.transpose(y, [0, 2, 1]), [1, size, coarse.size, coarse.size]) };

  const csp = (v: Value, name: string): Value => {
    let a = w.unit(v, `${name}.conv1`, 1, 1, 'silu');
    for (let i = 0; i < 3; i++) a = w.repVgg(a, `${name}.bottlenecks.${i}`);
    const b = w.unit(v, `${name}.conv2`, 1, 1, 'silu');
    const sum = { ...a, name: w.add(a.name, b.name) };
    return sum.channels === size ? sum : w.unit(sum, `${name}.conv3`, 1, 1, 'silu');
  };
  const top = w.unit(aifi, 'encoder.lateral_convs.0', 1, 1, 'silu');
  const p4 = csp(w.join(w.double(top), middle), 'encoder.fpn_blocks.0');
  const lateral = w.unit(p4, 'encoder.lateral_convs.1', 1, 1, 'silu');
  const p3 = csp(w.join(w.double(lateral), fine), 'encoder.fpn_blocks.1');
  const f4 = csp(w.join(w.unit(p3, 'encoder.downsample_convs.0', 3, 2, 'silu'), lateral), 'encoder.pan_blocks.0');
  const f5 = csp(w.join(w.unit(f4, 'encoder.downsample_convs.1', 3, 2, 'silu'), top), 'encoder.pan_blocks.1');
  return [p3, f4, f5];
}

/** Multi-scale deformable attention: one GridSample a level, heads as its batch. */
function deformable(
  w: Writer,
  config: ModelConfig,
  query: string,
  reference: string,
  memory: string,
  levels: Value[],
  prefix: string,
): string {
  const { decoderHidden: size, heads, queries } = config;
  const width = size / heads;
  const points = config.points[0];
  const all = levels.length * points;
  const tokens = levels.reduce((n, level) => n + level.size ** 2, 0);
  const value = w.transpose(w.reshape(w.layer(memory, `${prefix}.value_proj`, size), [tokens, heads, width]), [1, 2, 0]);
  const offsets = w.reshape(w.layer(query, `${prefix}.sampling_offsets`, size), [1, queries, heads, all, 2]);
  const scores = w.reshape(w.layer(query, `${prefix}.attention_weights`, size), [1, queries, heads, all]);
  const weights = w.graph.add('Softmax', [scores], { axis: -1 });
  const [centre, sides] = w.graph.addMany('Split', [w.reshape(reference, [1, queries, 1, 1, 4]), w.graph.integers([2, 2])], 2, {
    axis: -1,
  });
  const reach = w.mul(w.mul(offsets, w.graph.scalar(1 / points)), w.mul(sides, w.graph.scalar(0.5)));
  // GridSample counts from -1 to 1.
  const grid = w.add(w.mul(w.add(centre, reach), w.graph.scalar(2)), w.graph.scalar(-1));
  const byHead = w.transpose(w.reshape(grid, [queries, heads, all, 2]), [1, 0, 2, 3]);
  const grids = w.graph.addMany('Split', [byHead, w.graph.integers(levels.map(() => points))], levels.length, { axis: 2 });
  const maps = w.graph.addMany('Split', [value, w.graph.integers(levels.map((level) => level.size ** 2))], levels.length, { axis: 2 });
  const samples = levels.map((level, i) =>
    w.graph.add('GridSample', [w.reshape(maps[i], [heads, width, level.size, level.size]), grids[i]], {
      mode: 'bilinear',
      padding_mode: 'zeros',
      align_corners: 0,
    }),
  );
  const sampled = w.graph.add('Concat', samples, { axis: 3 });
  const spread = w.reshape(w.transpose(weights, [0, 2, 1, 3]), [heads, 1, queries, all]);
  const mixed = w.graph.add('ReduceSum', [w.mul(sampled, spread), w.graph.integers([-1])], { keepdims: 0 });
  return w.layer(w.reshape(w.transpose(mixed, [2, 0, 1]), [1, queries, size]), `${prefix}.output_proj`, size);
}

function decoder(
  w: Writer,
  config: ModelConfig,
  maps: readonly Value[],
): { logits: string; boxes: string; scores: string; tokens: number } {
  const { decoderHidden: size, heads, queries, decoderLayers, decoderFfn } = config;
  const levels = maps.map((map, i) => w.unit(map, `decoder.input_proj.${i}`, 1, 1, null));
  const memory = w.graph.add(
    'Concat',
    levels.map((level) => w.tokens(level)),
    { axis: 1 },
  );
  const anchors = makeAnchors(
    levels.map((level) => [level.size, level.size]),
    config.anchorEps,
  );
  const tokens = anchors.valid.length;
  const masked = w.mul(memory, w.graph.floats(anchors.valid, [1, tokens, 1]));
  const features = w.norm(w.layer(masked, 'decoder.enc_output.0', size), 'decoder.enc_output.1');
  const scores = w.layer(features, 'decoder.enc_score_head', size);
  const box = (x: string, prefix: string) => w.mlp(x, prefix, [size, size, size]);
  const proposals = w.add(box(features, 'decoder.enc_bbox_head'), w.graph.floats(anchors.unactivated, [1, tokens, 4]));
  const best = w.graph.add('ReduceMax', [scores], { axes: [-1], keepdims: 0 });
  const [, indices] = w.graph.addMany('TopK', [best, w.graph.integers([queries])], 2, { axis: 1 });
  const chosen = w.reshape(indices, [queries]);
  let x = w.graph.add('Gather', [features, chosen], { axis: 1 });
  let boxes = w.graph.add('Sigmoid', [w.graph.add('Gather', [proposals, chosen], { axis: 1 })]);
  for (let i = 0; i < decoderLayers; i++) {
    const prefix = `decoder.decoder.layers.${i}`;
    const position = w.mlp(boxes, 'decoder.query_pos_head', [4, 2 * size]);
    x = w.norm(w.add(x, w.attention(x, position, `${prefix}.self_attn`, size, heads, queries)), `${prefix}.norm1`);
    x = w.norm(w.add(x, deformable(w, config, w.add(x, position), boxes, memory, levels, `${prefix}.cross_attn`)), `${prefix}.norm2`);
    const inner = w.graph.add('Relu', [w.layer(x, `${prefix}.linear1`, size)]);
    x = w.norm(w.add(x, w.layer(inner, `${prefix}.linear2`, decoderFfn)), `${prefix}.norm3`);
    boxes = w.graph.add('Sigmoid', [w.add(box(x, `decoder.dec_bbox_head.${i}`), w.inverseSigmoid(boxes))]);
  }
  return { logits: w.layer(x, `decoder.dec_score_head.${decoderLayers - 1}`, size), boxes, scores: best, tokens };
}

/** The file's bytes. `get` gives the tensors of the state dictionary. RT-DETR v1 with basic blocks only. */
export function rtdetrOnnx(config: ModelConfig, size: number, get: (name: string) => Float32Array): Uint8Array<ArrayBuffer> {
  const w = new Writer(get);
  const image: Value = { name: w.graph.input('image', [1, 3, size, size]), channels: 3, size };
  const { logits, boxes, scores, tokens } = decoder(w, config, encoder(w, config, backbone(w, config, image)));
  w.graph.output('logits', logits, [1, config.queries, config.classes]);
  w.graph.output('boxes', boxes, [1, config.queries, 4]);
  w.graph.output('scores', scores, [1, tokens]);
  return w.graph.finish();
}
