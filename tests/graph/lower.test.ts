import { describe, expect, it } from 'vitest';
import { type Dispatch, Graph, type Operation, type Target, type Tensor } from '../../src/graph/graph.ts';
import { accessesOf, lower, resultMemory } from '../../src/graph/lower.ts';
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
  const made = (dispatches: readonly Dispatch[]) => dispatches.filter(({ shader }) => shader.name === 'reduce/parts');

  it('wait for each other, and share memory without overlapping', () => {
    const { graph, inputs } = setup();
    inputs(9).forEach((x, i) => {
      graph.output(`y${i}`, parts(x));
    });
    const dispatches = lower(graph, target);
    expect(kernels(dispatches)).toEqual([...Array<string>(9).fill('rows'), 'parts']);
    const layouts = [...graph.outputs.values()].map((t) => t.layout());
    expect(layouts.map(({ offset }) => offset)).toEqual(layouts.map((_, i) => 8 * i));
    expect(accessesOf(dispatches[9]).writes).toEqual([layouts[0].root]);
    expect(new Set(layouts.map(({ root }) => root)).size).toBe(1);
  });

  it('are written to where results lie, a launch for each memory', () => {
    const { graph, inputs } = setup();
    inputs(5).forEach((x, i) => {
      graph.result(`${i}`, parts(x));
    });
    const buffers = [{ size: 1024 }, { size: 512 }];
    const { places } = resultMemory(graph, (name) => ({ buffer: buffers[Number(name) % 2], offset: 256 * (Number(name) >> 1), bytes: 32 }));
    const launches = made(lower(graph, target, {}, places));
    const values = [...graph.results.values()].map(({ value }) => value);
    const memory = (i: number) => places.get(values[i])!.value;
    expect(launches.map((d) => accessesOf(d).writes)).toEqual([
      [memory(0), values[0], values[2], values[4]],
      [memory(1), values[1], values[3]],
    ]);
    const table = launches[0].bind.table.parameter!.build(() => new Float32Array());
    // End, parts, first, distance, place: in vectors of four.
    expect([...table]).toEqual([2, 4, 0, 2, 0, 4, 4, 16, 2, 16, 6, 4, 32, 2, 32]);
  });

  it('are launched when their copies have no room any more', () => {
    const { graph, inputs } = setup();
    // Four copies of 32 MiB in all.
    inputs(3, 2 ** 21).forEach((x, i) => {
      graph.output(`y${i}`, parts(x));
    });
    expect(kernels(lower(graph, target))).toEqual(['rows', 'rows', 'parts', 'rows', 'parts']);
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
    expect(made(lower(graph, target)).map(({ value }) => value)).toEqual(['vec4f', 'f32']);
  });

  it('are written into their places within a concatenation', () => {
    const { graph, inputs } = setup();
    const y = concatColumns(inputs(3).map(parts));
    graph.output('y', y);
    const dispatches = lower(graph, target);
    expect(kernels(dispatches)).toEqual(['rows', 'rows', 'rows', 'parts']);
    expect(accessesOf(dispatches[3]).writes).toEqual([y.value]);
  });
});
