/**
 * From decoded pixels to the network's input as PIL and torchvision make it: antialiased bilinear resize in 8 bits
 * (Pillow's Resample.c: horizontal pass first, weights in 22-bit fixed point), then v / 255.
 */
import columnsShader from '../../shaders/preprocess/columns.wgsl';
import rowsShader from '../../shaders/preprocess/rows.wgsl';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { fold, layoutParams } from './common.ts';

/** Resamples rows (`columns`) or columns (`rows`) of packed pixels; the second pass ends in numbers from 0 to 1. */
export const resamplePass: Operation<{ pass: 'columns' | 'rows' }> = {
  name: 'resample',

  infer([pixels, table], { pass }) {
    if (pixels.type !== 'u32' || table.type !== 'u32')
      throw shapeError('resample', `pixels and table are u32, got ${pixels.type}, ${table.type}`);
    if (table.shape.length !== 2) throw shapeError('resample', `table ${show(table.shape)} is not [output, 2 + taps]`);
    const { images, rows, columns } = pixels;
    if (pass === 'columns') return [{ shape: [images, rows, table.shape[0]], type: 'u32' }];
    return [{ shape: [images, table.shape[0], columns, 3] }];
  },

  lower({ inputs: [pixels, table, level], outputs: [y], attributes: { pass } }) {
    const [rows, width] = pass === 'columns' ? [y.rows, y.columns] : [y.shape[1], y.shape[2]];
    const [gx, gy] = fold(Math.ceil((rows * width) / 64));
    const common = {
      params: { rows, width, taps: table.columns - 2, ...layoutParams('pixels', pixels, 1), ...layoutParams('y', y, 1) },
      grid: [gx, gy, y.images] as const,
      flops: 6 * rows * width * (table.columns - 2) * y.images,
    };
    if (pass === 'columns') return [launch(columnsShader, { ...common, label: 'columns', bind: { pixels, table, y } })];
    return [launch(rowsShader, { ...common, label: 'rows', bind: { pixels, table, level, y } })];
  },
};

/**
 * Pixels [height, width] or [batch, height, width] (u32, bytes R, G, B, A from the lowest up) resized and scaled to 0..1:
 * [batch, new height, new width, 3]. The tables are those of ../resize-table.ts, of the new width and the new height.
 * @throws BackdropError E_SHAPE
 */
export function imageToTensor(pixels: Tensor, columnTable: Tensor, rowTable: Tensor): Tensor {
  const { graph } = pixels;
  const level = graph.parameter({
    key: 'v / 255',
    shape: [256],
    type: 'f32',
    sources: [],
    build: () => Float32Array.from({ length: 256 }, (_, v) => v / 255),
  });
  const [narrow] = graph.add(resamplePass, [pixels, columnTable], { pass: 'columns' });
  return graph.add(resamplePass, [narrow, rowTable, level], { pass: 'rows' })[0];
}
