/** Detections on a labelled set with given weights: what the evaluation counts. */
import type { ImageRecord } from '../data/dataset.ts';
import { postprocess } from '../detector/postprocess.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import { Graph } from '../graph/graph.ts';
import { type ParameterSource, ParameterStore } from '../graph/parameters.ts';
import { Program } from '../graph/program.ts';
import type { DetectionTransformer } from '../models/rt-detr.ts';
import type { BatchSource } from './batches.ts';

/** As COCO's evaluation counts them. */
const MAX_DETECTIONS = 100;

export interface DetectedBox {
  readonly imageId: number;
  /** 0 to classes - 1 */
  readonly label: number;
  readonly score: number;
  /** x, y, width, height in pixels of the image */
  readonly box: readonly [number, number, number, number];
}

export interface ValidatorOptions {
  gpu: Gpu;
  kernels: KernelCache;
  model: DetectionTransformer;
  weights: ParameterSource;
  batch: number;
  /** [height, width] of the network's input. */
  size: readonly [number, number];
  /** Kernel variants forced by operation. */
  variants?: Readonly<Record<string, string>>;
  onProgress?: (images: number) => void;
  /** Asked after every batch: true gives up, and the result is null. */
  shouldStop?: () => boolean;
}

/**
 * The 100 best detections of every image. The network is recorded for the time of the call; kernels come from the cache.
 * @throws BackdropError E_GPU_*, E_INPUT, and what the source of batches throws
 */
export async function detectAll(source: BatchSource, options: ValidatorOptions): Promise<DetectedBox[] | null> {
  const { gpu, kernels, model, weights, batch, size, variants = {}, onProgress, shouldStop } = options;
  const { classes } = model.config;
  const parameters = new ParameterStore(gpu, weights);
  let program: Program | null = null;
  try {
    const graph = new Graph();
    const { logits, boxes } = model.trace(graph, graph.input('image', [batch, ...size, 3]));
    graph.output('logits', logits);
    graph.output('boxes', boxes);
    await parameters.load([...graph.parameters.values()].map((t) => t.parameter!));
    program = await Program.build(gpu, kernels, graph, parameters, { variants });
    const found: DetectedBox[] = [];
    const image = new Float32Array(batch * size[0] * size[1] * 3);
    let done = 0;
    for await (const { image: given, records } of source.batches(0)) {
      // A last batch of fewer images leaves the others' pixels of the batch before, whose boxes are not looked at.
      image.set(given.subarray(0, image.length));
      const outputs = await program.run({ image });
      records.forEach((record, i) => {
        found.push(...boxesOf(record, i, batch, classes, outputs.get('logits')!, outputs.get('boxes')!));
      });
      done += records.length;
      onProgress?.(done);
      if (shouldStop?.()) return null;
    }
    return found;
  } finally {
    program?.destroy();
    parameters.destroy();
  }
}

function boxesOf(
  { id, width, height }: ImageRecord,
  i: number,
  batch: number,
  classes: number,
  logits: Float32Array | Uint32Array,
  boxes: Float32Array | Uint32Array,
): DetectedBox[] {
  const part = (all: Float32Array | Uint32Array) => all.subarray((i * all.length) / batch, ((i + 1) * all.length) / batch);
  const options = { classes, labels: [], width, height, threshold: 0, maxResults: MAX_DETECTIONS };
  return postprocess(part(logits), part(boxes), options).map(({ score, labelId, box }) => ({
    imageId: id,
    label: labelId,
    score,
    box: [box.xmin, box.ymin, box.xmax - box.xmin, box.ymax - box.ymin],
  }));
}
