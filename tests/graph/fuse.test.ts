import { describe, expect, it } from 'vitest';
import { fuse } from '../../src/graph/fuse.ts';
import { Graph, type Tensor } from '../../src/graph/graph.ts';
import { concatColumns, concatRows } from '../../src/ops/concat.ts';
import { conv2d, linear } from '../../src/ops/conv2d.ts';
import { gradients } from '../../src/ops/gradient.ts';
import { layerNorm, softmax } from '../../src/ops/norm.ts';
import { add, mul, pointwise, relu, rows, silu, sub, tanh } from '../../src/ops/pointwise.ts';

function parameter(graph: Graph, name: string, shape: number[], replicated = false): Tensor {
  return graph.parameter({ key: name, shape, type: 'f32', replicated, sources: [name], build: (get) => get(name) });
}

/** The remaining nodes: prologue > operation > epilogue. */
function shape(graph: Graph, options = {}): string[] {
  return fuse(graph, options).nodes.map(({ operation, prologue, epilogue, attributes }) => {
    const names = (chain: typeof prologue) => (chain?.steps ?? []).map((s) => s.row.name);
    const own = operation.name === 'pointwise' ? (attributes as { row: { name: string } }).row.name : operation.name;
    return [...names(prologue).map((n) => `${n}>`), own, ...names(epilogue)].join(' ');
  });
}

function setup(): { graph: Graph; x: Tensor; conv: (x: Tensor) => Tensor } {
  const graph = new Graph();
  const x = graph.input('x', [1, 8, 8, 16]);
  const w = parameter(graph, 'w', [9, 16, 16]);
  const conv = (input: Tensor) => conv2d(input, w, null, { kernel: [3, 3], padding: [1, 1] });
  return { graph, x, conv };
}

describe('fusion', () => {
  it('puts activation and residual behind a convolution', () => {
    const { graph, x, conv } = setup();
    const y = conv(x);
    graph.output('y', relu(add(conv(silu(y)), y)));
    expect(shape(graph)).toEqual(['conv2d', 'silu> conv2d add relu']);
  });

  it('does so in either order of the operands, behind the one that comes last', () => {
    const { graph, x, conv } = setup();
    const a = conv(x);
    const b = conv(tanh(x));
    graph.output('y', sub(a, b));
    expect(shape(graph)).toEqual(['conv2d', 'tanh> conv2d sub']);
  });

  it('keeps what is read twice, and what is an output', () => {
    const { graph, x, conv } = setup();
    const y = conv(x);
    graph.output('y', y);
    graph.output('z', relu(y));
    expect(shape(graph)).toEqual(['conv2d', 'relu']);
  });

  it('lets every reader load an activation for itself, or none', () => {
    const { graph, x, conv } = setup();
    const a = relu(x);
    graph.output('b', conv(a));
    graph.output('c', conv(a));
    expect(shape(graph)).toEqual(['relu> conv2d', 'relu> conv2d']);
    const other = setup();
    const d = relu(other.x);
    other.graph.output('e', other.conv(d));
    other.graph.output('f', softmax(d));
    expect(shape(other.graph)).toEqual(['relu', 'conv2d', 'softmax']);
  });

  it('joins pointwise nodes to one', () => {
    const graph = new Graph();
    const [x, y] = [graph.input('x', [1, 4, 8]), graph.input('y', [1, 4, 8])];
    graph.output('z', mul(relu(add(x, y)), y));
    expect(shape(graph)).toEqual(['add relu mul']);
  });

  it('takes at most the extras that a kernel has bindings for', () => {
    const { graph, x, conv } = setup();
    const inputs = Array.from({ length: 6 }, (_, i) => graph.input(`r${i}`, [1, 8, 8, 16]));
    graph.output(
      'y',
      inputs.reduce((sum, r) => add(sum, r), conv(x)),
    );
    const nodes = shape(graph);
    expect(nodes[0]).toBe('conv2d add add add add');
    expect(nodes).toHaveLength(2);
  });

  it('reads a row, a column or an image beside the main tensor only where a vector kernel can', () => {
    const graph = new Graph();
    const x = graph.input('x', [2, 6, 8]);
    const [w, b] = [parameter(graph, 'ln.w', [8]), parameter(graph, 'ln.b', [8])];
    const beside = (other: Tensor) => add(layerNorm(x, w, b), other);
    graph.output('row', beside(parameter(graph, 'row', [8])));
    graph.output('image', beside(parameter(graph, 'image', [1, 6, 8])));
    graph.output('replicated', beside(parameter(graph, 'replicated', [2, 6, 1], true)));
    graph.output('column', beside(graph.input('column', [2, 6, 1])));
    expect(shape(graph)).toEqual(['layerNorm add', 'layerNorm add', 'layerNorm add', 'layerNorm', 'add']);
  });

  it('does not fuse a result of another shape', () => {
    const graph = new Graph();
    const x = graph.input('x', [1, 1, 8]);
    const w = parameter(graph, 'w', [1, 8, 8]);
    graph.output('y', add(linear(x, w, null), graph.input('big', [1, 5, 8])));
    expect(shape(graph)).toEqual(['conv2d', 'add']);
  });

  it('drops what no output needs', () => {
    const { graph, x, conv } = setup();
    softmax(conv(x));
    graph.output('y', relu(x));
    expect(shape(graph)).toEqual(['relu']);
  });

  it('leaves all as traced when told so', () => {
    const { graph, x, conv } = setup();
    graph.output('y', concatColumns([relu(conv(x)), silu(conv(x))]));
    expect(shape(graph, { pointwise: false, concat: false })).toEqual(['conv2d', 'relu', 'conv2d', 'silu', 'concat']);
  });
});

describe('placing concatenations', () => {
  it('makes windows of their inputs', () => {
    const { graph, x, conv } = setup();
    const [a, b] = [relu(conv(x)), conv(x)];
    const c = concatColumns([a, b]);
    graph.output('c', c);
    expect(shape(graph)).toEqual(['conv2d relu', 'conv2d']);
    expect(a.layout()).toEqual({ root: c.value, offset: 0, batch: 64 * 32, pitch: 32 });
    expect(b.layout()).toEqual({ root: c.value, offset: 16, batch: 64 * 32, pitch: 32 });
  });

  it('nests', () => {
    const { graph, x, conv } = setup();
    const [a, b, c] = [conv(x), conv(x), conv(concatColumns([x, x]).columnsFrom(0, 16))];
    const inner = concatColumns([a, b]);
    const outer = concatRows([inner, concatColumns([c, graph.input('d', [1, 8, 8, 16])])]);
    graph.output('y', outer);
    const names = shape(graph);
    expect(b.layout().root).toBe(outer.value);
    expect(b.layout().offset).toBe(16);
    // Those of inputs of the graph are copied.
    expect(names.filter((n) => n === 'concat')).toHaveLength(2);
  });

  it('does not place one value in two', () => {
    const { graph, x, conv } = setup();
    const a = conv(x);
    graph.output('one', concatColumns([a, conv(x)]));
    graph.output('two', concatColumns([conv(x), a]));
    expect(shape(graph).filter((n) => n === 'concat')).toEqual(['concat']);
  });

  it('does not place where a node would read and write one buffer', () => {
    const { graph, x, conv } = setup();
    const a = conv(x);
    const b = conv(a);
    graph.output('y', concatColumns([a, b]));
    expect(shape(graph)).toEqual(['conv2d', 'conv2d', 'concat']);
    expect(a.value.placedIn).toBeNull();
  });

  it('does not place what kernels write without gaps, nor two results of one node in one buffer', () => {
    const { graph, x, conv } = setup();
    const two = (denseOutputs: boolean) => {
      const infer = () => [{ shape: x.shape }, { shape: x.shape }];
      return graph.add<object>({ name: 'two', denseOutputs, infer, lower: () => [] }, [x], {});
    };
    const [[a, b], [c], [d]] = [two(false), two(true), two(false)];
    graph.output('y', concatColumns([a, b]));
    graph.output('z', concatColumns([c, conv(x)]));
    graph.output('placed', concatColumns([d, conv(x)]));
    expect(shape(graph).filter((n) => n === 'concat')).toHaveLength(2);
    expect([a, b, c, d].map((t) => t.value.placedIn !== null)).toEqual([false, false, false, true]);
  });
});

describe('tensors', () => {
  it('see windows of windows', () => {
    const graph = new Graph();
    const x = graph.input('x', [2, 10, 12]);
    const window = x.rowsFrom(3, 5).columnsFrom(4, 6).rowsFrom(1, 2);
    expect(window.shape).toEqual([2, 2, 6]);
    expect(window.layout()).toEqual({ root: x.value, offset: 4 * 12 + 4, batch: 120, pitch: 12 });
    expect(() => x.columnsFrom(8, 5)).toThrow(/columns 8\.\.13 of \[2, 10, 12\]/);
    expect(() => x.rowsFrom(8, 3)).toThrow(/rows 8\.\.11/);
    expect(() => graph.input('y', [2, 2, 2, 2]).rowsFrom(0, 1)).toThrow(/expected \[batch, rows, columns\]/);
    expect(() => x.viewAs([10, 2, 12])).toThrow(/cannot be seen as/);
  });

  it('have sizes of positive integers', () => {
    expect(() => new Graph().input('x', [2, 0])).toThrow(/x has shape \[2, 0\]/);
    expect(() => new Graph().input('x', [1.5])).toThrow(/positive integers/);
  });

  it('are one for one parameter', () => {
    const graph = new Graph();
    expect(parameter(graph, 'w', [4])).toBe(parameter(graph, 'w', [4]));
  });

  it('of a pointwise row keep their scope in the label', () => {
    const graph = new Graph();
    const y = graph.scoped('encoder', () => graph.scoped('0', () => pointwise(rows.relu, [graph.input('x', [4])])));
    expect(y.value.label).toBe('encoder.0.pointwise');
  });
});

it('a ReLU and its gradient keep the result alone: the convolution before it takes the ReLU in', () => {
  const { graph, x, conv } = setup();
  const y = relu(conv(x));
  const g = graph.input('g', y.shape);
  const found = gradients(graph, new Map([[y, g]]), [x]);
  graph.output('y', y);
  graph.output('dx', found.get(x)!);
  expect(shape(graph)).toEqual(['conv2d relu', 'relu.gradient0> conv2dDataGradient']);
});
