import { describe, expect, it } from 'vitest';
import { type Dispatch, Graph, type Operation, type Target, type Tensor } from '../../src/graph/graph.ts';
import { accessesOf, lower } from '../../src/graph/lower.ts';
import { concatColumns } from '../../src/ops/concat.ts';
import { partials } from '../../src/ops/part-sums.ts';
import { add, relu } from '../../src/ops/pointwise.ts';
import { rowsDispatch } from '../../src/ops/reduce.ts';

const target: Target = { software: true, subgroups: true, maxStorageBuffers: 8, maxWorkgroupStorage: 16384, variants: {} };

/** An operation whose result is the sum of four parts (which a copy of its input stands for). */
const inParts: Operation<null> = {
  name: 'inParts',
  infer: ([x]) => [{ shape: x.shape }],
  lower: ({ inputs: [x], outputs: [y] }, context) => [rowsDispatch(x, partials(context, [y], 4))],
};
const parts = (x: Tensor): Tensor => x.graph.add(inParts, [x], null)[0];

function setup(): { graph: Graph; inputs: (count: number, size?: number) => Tensor[] } {
  const graph = new Graph();
  const inputs = (count: number, size = 8) => Array.from({ length: count }, (_, i) => graph.input(`${size} ${i}`, [size]));
  return { graph, inputs };
}

const kernels = (dispatches: readonly Dispatch[]) => dispatches.map(({ shader }) => shader.name.replace('reduce/', ''));

describe('sums in parts', () => {
  it('wait for each other, seven to a launch', () => {
    const { graph, inputs } = setup();
    inputs(9).forEach((x, i) => {
      graph.output(`y${i}`, parts(x));
    });
    const rows = (count: number) => Array.from({ length: count }, () => 'rows');
    const dispatches = lower(graph, target);
    expect(kernels(dispatches)).toEqual([...rows(7), 'parts', ...rows(2), 'parts']);
    const written = dispatches.filter(({ shader }) => shader.name === 'reduce/parts').flatMap((d) => accessesOf(d).writes);
    for (const { value } of graph.outputs.values()) expect(written.filter((w) => w === value)).toHaveLength(1);
  });

  it('are made before they are read, and once', () => {
    const { graph, inputs } = setup();
    const [a, b] = inputs(2).map(parts);
    const c = relu(a);
    graph.output('c', c);
    graph.output('sum', add(b, parts(c)));
    expect(kernels(lower(graph, target))).toEqual(['rows', 'rows', 'parts', 'pointwise/vector', 'rows', 'parts', 'pointwise/vector']);
  });

  it('keep vectors and scalars apart', () => {
    const { graph, inputs } = setup();
    for (const size of [8, 7, 12]) graph.output(`y ${size}`, parts(inputs(1, size)[0]));
    const made = lower(graph, target).filter(({ shader }) => shader.name === 'reduce/parts');
    expect(made.map(({ value }) => value)).toEqual(['vec4f', 'f32']);
  });

  it('bind no value twice for writing', () => {
    const { graph, inputs } = setup();
    graph.output('y', concatColumns(inputs(3).map(parts)));
    const dispatches = lower(graph, target);
    expect(kernels(dispatches)).toEqual(['rows', 'parts', 'rows', 'parts', 'rows', 'parts']);
  });
});
