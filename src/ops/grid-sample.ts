/** Bilinear sampling of a map at given places. */

import gridSampleShader from '../../shaders/sample/grid-sample.wgsl';
import { type Operation, shapeError, show, type Tensor } from '../graph/graph.ts';
import { launch } from '../graph/launch.ts';
import { elements, fold, inVectors, layoutParams, type Unit } from './common.ts';

export const gridSampleOperation: Operation<object> = {
  name: 'gridSample',

  infer([x, grid]) {
    if (x.shape.length !== 4 || grid.shape.length !== 4 || grid.shape[3] !== 2 || grid.shape[0] !== x.shape[0]) {
      throw shapeError(
        'gridSample',
        `${show(x.shape)} at ${show(grid.shape)}: expected [batch, height, width, channels] and [batch, out height, out width, 2]`,
      );
    }
    return [{ shape: [...grid.shape.slice(0, 3), x.shape[3]] }];
  },

  lower({ inputs: [x, grid], outputs: [y] }) {
    const unit: Unit = inVectors(x) && inVectors(y) ? 4 : 1;
    const columns = y.columns / unit;
    const [gx, gy] = fold(Math.ceil((y.rows * columns) / 64));
    return [
      launch(gridSampleShader, {
        ...elements(unit),
        bind: { x, grid, y },
        params: {
          ...layoutParams('x', x, unit),
          ...layoutParams('grid', grid, 1),
          ...layoutParams('y', y, unit),
          in_height: x.shape[1],
          in_width: x.shape[2],
          rows: y.rows,
          columns,
        },
        grid: [gx, gy, y.images],
        flops: 8 * y.size,
      }),
    ];
  },
};

/**
 * x [batch, height, width, channels] at grid [batch, out height, out width, 2] of (x, y), where -1 and 1 are the image's edges:
 * [batch, out height, out width, channels]. Outside are zeros (torch's align_corners = false). @throws BackdropError E_SHAPE
 */
export function gridSample(x: Tensor, grid: Tensor): Tensor {
  return x.graph.add(gridSampleOperation, [x, grid], {})[0];
}
