/** The box losses' kernel beside the same formulas made of pointwise operations and differentiated by the graph. */
import { openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { Graph } from '../../src/graph/graph.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { Program } from '../../src/graph/program.ts';
import { register } from '../../src/host/page-registry.ts';
import { boxesToCorners, pairOverlap } from '../../src/ops/boxes.ts';
import { gradients } from '../../src/ops/gradient.ts';
import { mul, pointwise, rows, scale } from '../../src/ops/pointwise.ts';
import { reduceColumns } from '../../src/ops/reduce.ts';
import { type BoxShare, boxLosses } from '../../src/training/criterion-operations.ts';

export interface BoxCase {
  shape: [number, number];
  boxes: Float32Array;
  line: Float32Array;
  share: BoxShare;
}

register<BoxCase>('box-losses', async ({ shape, boxes: given, line: lines, share }) => {
  const gpu = await openDevice();
  const graph = new Graph();
  const boxes = graph.input('boxes', [...shape, 4]);
  const line = graph.input('line', [...shape, 8]);
  const own = boxLosses(boxes, line, share);
  const wanted = line.columnsFrom(0, 4);
  const { iou, giou } = pairOverlap(boxesToCorners(boxes), boxesToCorners(wanted));
  const loss = scale(giou, -1, 1);
  const distance = reduceColumns(pointwise(rows.distance, [boxes, wanted]), 'sum');
  const shared = share === 'one' ? loss : mul(loss, (share === 'iou' ? iou : giou).detach());
  const seeds = new Map([
    [distance, line.columnsFrom(5, 1)],
    [shared, line.columnsFrom(6, 1)],
  ]);
  graph.output('losses', own.losses);
  graph.output('gradient', own.gradient);
  graph.output('distance', mul(distance, line.columnsFrom(5, 1)));
  graph.output('overlap', mul(shared, line.columnsFrom(6, 1)));
  graph.output('reference', gradients(graph, seeds, [boxes]).get(boxes)!);
  const store = new ParameterStore(gpu, { readFloat32: () => Promise.reject(new Error('no checkpoint')) });
  const program = await Program.build(gpu, new KernelCache(gpu), graph, store);
  const result = await program.run({ boxes: given, line: lines });
  program.destroy();
  store.destroy();
  gpu.close();
  return Object.fromEntries(result);
});
