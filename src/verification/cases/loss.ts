/** Golden cases of boxes, losses, the matcher's costs and post-processing. */
import { postprocess } from '../../detector/postprocess.ts';
import type { Tensor } from '../../graph/graph.ts';
import { boxesToCorners, cornersToBoxes, tableOverlap } from '../../ops/boxes.ts';
import { gatherRows } from '../../ops/gather.ts';
import { bceWithLogits, crossEntropy, giouLoss, l1Loss, matcherCost, sigmoidFocalLoss, varifocalLoss } from '../../ops/losses.ts';
import { mul } from '../../ops/pointwise.ts';
import type { CaseBuilder, CaseRecipe } from '../case.ts';

/** [n, 4] as a batch of one. */
const batched = (b: CaseBuilder, name: string): Tensor => b.input(name, [1, ...b.shape(name)]);

const focal = (b: CaseBuilder) => ({ alpha: b.attr<number>('alpha'), gamma: b.attr<number>('gamma') });

function overlaps(b: CaseBuilder) {
  return tableOverlap(boxesToCorners(batched(b, 'a')), boxesToCorners(batched(b, 'b')));
}

/** One-hot rows times the class's weight: rows of a diagonal matrix. */
function oneHot(b: CaseBuilder, name: string, classes: number, weights?: string): Tensor {
  const table = b.computed('classes', [1, classes, classes], [], () => {
    const values = new Float32Array(classes * classes);
    for (let c = 0; c < classes; c++) values[c * classes + c] = weights ? b.golden(weights).values[c] : 1;
    return values;
  });
  const count = b.golden(name).values.length;
  return gatherRows(table, b.indices(name, [1, count, 1]));
}

export const lossCases: Record<string, CaseRecipe> = {
  cxcywh_to_xyxy: (b) => b.output('out', boxesToCorners(b.input('b'))),
  xyxy_to_cxcywh: (b) => b.output('out', cornersToBoxes(b.input('b'))),

  box_iou(b) {
    const { iou, union } = overlaps(b);
    b.output('iou', iou);
    b.output('union', union);
  },
  giou_matrix: (b) => b.output('out', overlaps(b).giou),
  giou_loss_pairs: (b) => b.output('out', giouLoss(batched(b, 'a'), batched(b, 'b'))),
  l1_sum: (b) => b.output('out', l1Loss(b.input('a'), b.input('b'))),

  bce_with_logits(b) {
    const loss = bceWithLogits(b.input('x'), b.input('y'));
    b.output('out', b.has('w') ? mul(loss, b.input('w')) : loss);
  },
  sigmoid_focal_loss: (b) => b.output('out', sigmoidFocalLoss(b.input('x'), b.input('y'), focal(b))),
  vfl: (b) => b.output('out', varifocalLoss(b.input('x'), b.input('y'), b.input('t'), focal(b))),

  cross_entropy_weighted(b) {
    const shape = b.shape('x');
    const classes = shape[shape.length - 1];
    const count = shape.slice(0, -1).reduce((x, y) => x * y, 1);
    b.output('out', crossEntropy(b.input('x', [1, count, classes]), oneHot(b, 'y', classes, 'w')));
  },

  matcher_cost(b) {
    const labels = b.indices('labels', [1, b.shape('labels')[0], 1]);
    const cost = matcherCost(batched(b, 'logits'), batched(b, 'boxes'), labels, batched(b, 'tboxes'), {
      classes: b.attr('cost_class'),
      boxes: b.attr('cost_bbox'),
      giou: b.attr('cost_giou'),
      ...focal(b),
    });
    b.output('out', cost);
  },

  /** Detection does this on the CPU, on what one read-back brings. */
  postprocess(b) {
    const [images, queries, classes] = b.shape('logits');
    const sizes = b.attr<[number, number][]>('orig_sizes_wh');
    const found = Array.from({ length: images }, (_, i) =>
      postprocess(part(b, 'logits', i, queries * classes), part(b, 'boxes', i, queries * 4), {
        classes,
        labels: [],
        width: sizes[i][0],
        height: sizes[i][1],
        threshold: 0,
        maxResults: b.attr('num_top_queries'),
      }),
    ).flat();
    b.host(
      'labels',
      found.map(({ labelId }) => labelId),
    );
    b.host(
      'scores',
      found.map(({ score }) => score),
    );
    b.host(
      'boxes',
      found.flatMap(({ box }) => [box.xmin, box.ymin, box.xmax, box.ymax]),
    );
    b.exact.add('labels');
  },
};

const part = (b: CaseBuilder, name: string, image: number, length: number) =>
  b.golden(name).values.subarray(image * length, (image + 1) * length);
