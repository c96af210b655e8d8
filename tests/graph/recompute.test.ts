/** What is computed again, where, and that nothing else changes. */
import { describe, expect, it } from 'vitest';
import { fuse, touched } from '../../src/graph/fuse.ts';
import { Graph, type Node, type Tensor } from '../../src/graph/graph.ts';
import { type Recompute, recompute } from '../../src/graph/recompute.ts';
import { concatColumns } from '../../src/ops/concat.ts';
import { conv2d } from '../../src/ops/conv2d.ts';
import { gradients } from '../../src/ops/gradient.ts';
import { relu, rows } from '../../src/ops/pointwise.ts';
import { batchNormTrain } from '../../src/ops/standardise.ts';

const parameter = (graph: Graph, key: string, shape: readonly number[]): Tensor =>
  graph.parameter({ key, shape, type: 'f32', sources: [key], build: (get) => get(key) });

/** w: [9, channels of x, channels of the result] */
const convolve = (x: Tensor, w: Tensor): Tensor => conv2d(x, w, null, { kernel: [3, 3], padding: [1, 1] });

/** A chain of convolutions, each with batch norm and ReLU, that a convolution ends; its gradients are results. */
function network(body: (graph: Graph, layer: (name: string, x: Tensor) => Tensor, image: Tensor) => Tensor): Graph {
  const graph = new Graph();
  const wanted: Tensor[] = [];
  const weight = (name: string, inputs: number) => {
    const w = parameter(graph, `${name}.weight`, [9, inputs, 8]);
    wanted.push(w);
    return w;
  };
  const layer = (name: string, x: Tensor): Tensor =>
    graph.scoped(name, () => {
      const y = convolve(x, weight(name, x.columns));
      const [scale, shift] = ['scale', 'shift'].map((what) => parameter(graph, `${name}.${what}`, [8]));
      const norm = batchNormTrain(y, scale, shift, { activation: rows.relu });
      graph.result(`${name}.mean`, norm.mean);
      return norm.y;
    });
  const y = convolve(body(graph, layer, graph.input('image', [2, 16, 16, 4])), weight('last', 8));
  graph.output('y', y);
  const found = gradients(graph, new Map([[y, parameter(graph, 'seed', y.shape)]]), wanted);
  for (const tensor of wanted) graph.result(tensor.parameter!.key, found.get(tensor)!);
  return graph;
}

const chain = () => network((_, layer, image) => layer('b', layer('a', image)));

function transformed(graph: Graph, what: Recompute) {
  const { nodes } = fuse(graph);
  const before = JSON.stringify(nodes.map(describeNode));
  const result = recompute(graph, nodes, what);
  expect(JSON.stringify(nodes.map(describeNode)), 'the nodes given are as they were').toBe(before);
  return { nodes, result, added: result.filter(({ scope }) => scope.endsWith('.again')) };
}

const describeNode = ({ scope, inputs, outputs }: Node) => [scope, ...[...inputs, ...outputs].map(({ value }) => value.id)];
const backwardOf = (nodes: readonly Node[]) => nodes.findIndex(({ scope }) => scope.includes('backward'));

describe('normalised', () => {
  it('computes normalised maps again from what is kept, right before they are read', () => {
    const { nodes, result, added } = transformed(chain(), 'normalised');
    expect(added.map(({ scope, operation }) => `${scope} ${operation.name}`)).toEqual([
      'b.standardise.again normalise',
      'a.standardise.again normalise',
    ]);
    for (const copy of added) {
      const at = result.indexOf(copy);
      expect(touched(result[at + 1]).reads).toContain(copy.outputs[0].value);
      const original = nodes.find(({ scope }) => `${scope}.again` === copy.scope)!;
      expect(copy.inputs.map(({ value }) => value)).toEqual([original.inputs[0].value, original.outputs[1].value]);
      const readers = result.filter((node) => touched(node).reads.includes(original.outputs[0].value));
      expect(Math.max(...readers.map((node) => result.indexOf(node)))).toBeLessThan(backwardOf(result));
    }
    expect(result.length).toBe(nodes.length + 2);
  });

  it('writes statistics once', () => {
    const graph = chain();
    const { result } = transformed(graph, ['^a', '^b']);
    for (const [name, tensor] of graph.results) {
      expect(
        result.filter((node) => touched(node).writes.includes(tensor.layout().root)),
        name,
      ).toHaveLength(1);
    }
  });

  it('keeps what costs as much as what it is made of', () => {
    // Nothing but the result of the ReLU is read again, and it takes the convolution's place in memory.
    const { added } = transformed(
      network((graph, layer, image) => relu(convolve(layer('a', image), parameter(graph, 'w', [9, 8, 8])))),
      'normalised',
    );
    expect(added.map(({ scope }) => scope)).toEqual([]);
  });

  it('rebuilds a joined value of its parts, in their places', () => {
    const { added } = transformed(
      network((_, layer, image) => layer('c', concatColumns([layer('a', image), layer('b', image)]))),
      'normalised',
    );
    expect(added.map(({ scope }) => scope)).toEqual(['c.standardise.again', 'a.standardise.again', 'b.standardise.again']);
    const [a, b] = added.slice(1).map(({ outputs }) => outputs[0].layout());
    expect(a.root).toBe(b.root);
    expect([a.offset, b.offset, a.pitch, b.pitch]).toEqual([0, 8, 16, 16]);
  });
});

describe('blocks', () => {
  it('compute convolutions again, and keep their results', () => {
    const { added } = transformed(
      network((graph, layer, image) => graph.scoped('block', () => layer('b', layer('a', image)))),
      ['^block'],
    );
    // The result of b is read outside: it is kept, like the statistics.
    expect(added.map(({ scope }) => scope)).toEqual(['block.a.conv2d.again', 'block.a.standardise.again', 'block.b.conv2d.again']);
  });

  it('that have different names end where the next begins', () => {
    const { added } = transformed(
      network((graph, layer, image) => graph.scoped('block', () => layer('b', layer('a', image)))),
      ['^block\\.\\w'],
    );
    expect(added.map(({ scope }) => scope)).toEqual(['block.b.conv2d.again', 'block.a.conv2d.again']);
  });

  it.each([
    ['matches nothing', '^bakbone'],
    ['matches the backward pass alone', 'backward'],
    ['is no regular expression', '('],
  ])('a pattern that %s is an error', (_, pattern) => {
    expect(() => transformed(chain(), [pattern])).toThrow(expect.objectContaining({ code: 'E_INPUT' }));
  });
});

it('none changes nothing', () => {
  const { nodes, result } = transformed(chain(), 'none');
  expect(result).toEqual(nodes);
});

it('a graph without gradients is left alone', () => {
  const graph = new Graph();
  graph.output('y', relu(graph.input('x', [1, 8, 8, 4])));
  const { nodes, result } = transformed(graph, 'normalised');
  expect(result.map(({ scope }) => scope)).toEqual(nodes.map(({ scope }) => scope));
});
