/** What goes on inside a forward pass: where the Background Attention Module is active, and where the decoder looks. */
import { Graph } from '../graph/graph.ts';
import type { HostArray } from '../graph/program.ts';
import type { ModelConfig } from '../models/configs.ts';
import type { DetectionTransformer } from '../models/rt-detr.ts';

/** F_b, the output of the Background Attention Module, at stride 32; never negative. */
export interface BackgroundMap {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** [height, width, channels] */
  readonly values: Float32Array;
}

/** A place where the decoder's deformable attention reads a map. */
export interface SamplingPoint {
  /** 0 to 1 across and down the image where it lies inside; it may lie outside. */
  readonly x: number;
  readonly y: number;
  readonly head: number;
  /** 0, 1, 2: the maps at stride 8, 16, 32. */
  readonly level: number;
  /** Share of its head's attention: the points of a head add up to 1. */
  readonly weight: number;
}

const samplingStage = (config: ModelConfig): string => `decoder.layers.${lastLayer(config)}`;

function lastLayer({ evalLayer, decoderLayers }: ModelConfig): number {
  return evalLayer < 0 ? decoderLayers + evalLayer : evalLayer;
}

/** The network with what an Inspection needs as further outputs. */
export function traceInspection(model: DetectionTransformer, size: readonly [number, number]): Graph {
  const stage = samplingStage(model.config);
  const taps = new Set(['F_b', `${stage}.ref_points_in`, `${stage}.cross_attn.sampling_offsets`, `${stage}.cross_attn.attention_weights`]);
  const graph = new Graph();
  const { logits, boxes } = model.trace(graph, graph.input('image', [1, ...size, 3]), { taps: (name) => taps.has(name) });
  graph.output('logits', logits);
  graph.output('boxes', boxes);
  return graph;
}

export class Inspection {
  readonly #config: ModelConfig;
  readonly #outputs: ReadonlyMap<string, HostArray>;
  readonly background: BackgroundMap | null;

  constructor(config: ModelConfig, graph: Graph, outputs: ReadonlyMap<string, HostArray>) {
    this.#config = config;
    this.#outputs = outputs;
    const map = graph.outputs.get('stage/F_b');
    this.background = map
      ? { height: map.shape[1], width: map.shape[2], channels: map.shape[3], values: outputs.get('stage/F_b') as Float32Array }
      : null;
  }

  /**
   * Where the last decoder layer samples the maps for a query: location = xy + offset / points of the level * wh / 2 (Deformable
   * DETR, Appendix A.2, in RT-DETR's form), weights by softmax over the points of a head.
   */
  samplingPoints(query: number): SamplingPoint[] {
    const stage = samplingStage(this.#config);
    const { heads, points } = this.#config;
    const total = points.reduce((sum, n) => sum + n, 0);
    const row = (name: string, columns: number) =>
      this.#outputs.get(`stage/${stage}.${name}`)!.subarray(query * columns, (query + 1) * columns);
    const [cx, cy, w, h] = row('ref_points_in', 4);
    const offsets = row('cross_attn.sampling_offsets', heads * total * 2);
    const logits = row('cross_attn.attention_weights', heads * total);
    const levels = points.flatMap((count, level) => Array.from({ length: count }, () => level));
    return Array.from({ length: heads }, (_, head) => {
      const own = Array.from(logits.subarray(head * total, (head + 1) * total));
      const largest = Math.max(...own);
      const powers = own.map((logit) => Math.exp(logit - largest));
      const sum = powers.reduce((a, b) => a + b, 0);
      return levels.map((level, point) => {
        const at = 2 * (head * total + point);
        const scale = 0.5 / points[level];
        return { x: cx + offsets[at] * w * scale, y: cy + offsets[at + 1] * h * scale, head, level, weight: powers[point] / sum };
      });
    }).flat();
  }
}

/** How strong the background is at each place: the mean over its channels, or over one of `groups` equal groups. [height, width] */
export function backgroundEnergy({ height, width, channels, values }: BackgroundMap, group = 0, groups = 1): Float32Array {
  const size = Math.floor(channels / groups);
  return Float32Array.from({ length: height * width }, (_, place) => {
    let sum = 0;
    for (let c = group * size; c < (group + 1) * size; c++) sum += values[place * channels + c];
    return sum / size;
  });
}

/**
 * Grad-CAM of a linear head over the mean of F_b: relu(sum_c W[k, c] F_b[c] / (height width)), which is the head applied at each
 * place (Figure 4 of the paper). @param weight [classes, channels]
 */
export function classHeatmap({ height, width, channels, values }: BackgroundMap, weight: Float32Array, label: number): Float32Array {
  return Float32Array.from({ length: height * width }, (_, place) => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += weight[label * channels + c] * values[place * channels + c];
    return Math.max(0, sum / (height * width));
  });
}
