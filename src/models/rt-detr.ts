/** RT-DETR (arXiv 2304.08069), RT-DETRv2 (2407.17140) and Association DETR: backbone, hybrid encoder, Association Encoder, decoder. */
import { BackdropError } from '../errors.ts';
import { type Graph, show, type Tensor } from '../graph/graph.ts';
import { Context } from '../nn/context.ts';
import { ParameterTable, Scope } from '../nn/parameters.ts';
import { AssociationEncoder } from './association-encoder.ts';
import type { ModelConfig } from './configs.ts';
import { Decoder, type DecoderOutputs } from './decoder.ts';
import { HybridEncoder } from './hybrid-encoder.ts';
import { ResNet, resnetChannels } from './resnet.ts';
import { modelConfig } from './resolve.ts';

export interface TraceOptions {
  /** Intermediate results to make graph outputs `stage/<name>`: names as in the golden files, e.g. `encoder.out.2`, `F_b`. */
  taps?: (stage: string) => boolean;
}

/** Strides of the decoder's levels. */
export const STRIDES = [8, 16, 32] as const;

/** @throws BackdropError E_INPUT unless both sides are positive multiples of 32 */
export function checkInputSize(height: number, width: number): void {
  for (const n of [height, width]) {
    if (Number.isInteger(n) && n > 0 && n % 32 === 0) continue;
    throw new BackdropError('E_INPUT', `The input size ${width}x${height} is not a multiple of 32 in both directions.`, {
      hint: `Use ${[width, height].map((side) => Math.max(32, Math.round((side || 0) / 32) * 32)).join('x')}.`,
      details: { width, height },
    });
  }
}

export class DetectionTransformer {
  readonly config: ModelConfig;
  /** The state dictionary it is loaded from, in PyTorch's order. */
  readonly parameters = new ParameterTable();
  readonly #backbone: ResNet;
  readonly #encoder: HybridEncoder;
  readonly #associationEncoder: AssociationEncoder | null;
  /** Training traces its parts in another way (models/training.ts). */
  readonly decoder: Decoder;

  /** @throws BackdropError E_MODEL_UNKNOWN, E_MODEL_CONFIG */
  constructor(model: string | ModelConfig) {
    const config = modelConfig(model);
    this.config = config;
    const root = new Scope(this.parameters);
    const { version, heads, encoderHidden, decoderLayers, evalLayer, size } = config;
    const freezeNorm = config.freezeNorm === 'all';
    // Constructed in the order of PyTorch's state dictionary.
    this.#backbone = new ResNet(root.child('backbone'), { ...config, freezeNorm: config.freezeNorm !== 'none' });
    this.decoder = new Decoder(root.child('decoder'), {
      version,
      inputs: encoderHidden,
      levels: STRIDES.length,
      hidden: config.decoderHidden,
      heads,
      ffn: config.decoderFfn,
      layers: decoderLayers,
      evalLayer: evalLayer < 0 ? decoderLayers + evalLayer : evalLayer,
      points: config.points,
      method: config.sampling,
      queries: config.queries,
      classes: config.classes,
      anchorEps: config.anchorEps,
      tokens: STRIDES.reduce((n, stride) => n + (size[0] / stride) * (size[1] / stride), 0),
      freezeNorm,
    });
    this.#encoder = new HybridEncoder(root.child('encoder'), {
      inputs: resnetChannels(config),
      hidden: encoderHidden,
      heads,
      ffn: config.encoderFfn,
      expansion: config.expansion,
      version,
      freezeNorm,
    });
    const extra = config.associationEncoder;
    this.#associationEncoder = extra && new AssociationEncoder(root.child('association_encoder'), extra, freezeNorm);
  }

  /**
   * Traces a forward pass into a graph.
   * @param image RGB in 0..1, [batch, height, width, 3], sides multiples of 32
   * @throws BackdropError E_INPUT, E_SHAPE
   */
  trace(graph: Graph, image: Tensor, { taps }: TraceOptions = {}): DecoderOutputs {
    const context = new Context(graph, taps);
    return this.decoder.forward(context, this.maps(context, image));
  }

  /**
   * What the decoder reads: maps at stride 8, 16 and 32, [batch, height, width, encoderHidden].
   * @param image as of `trace`
   * @throws BackdropError E_INPUT, E_SHAPE
   */
  maps(context: Context, image: Tensor): Tensor[] {
    const [, height, width, channels] = image.shape;
    if (image.shape.length !== 4 || channels !== 3) {
      throw new BackdropError('E_INPUT', `The image is ${show(image.shape)}, expected [batch, height, width, 3].`);
    }
    checkInputSize(height, width);
    const tokens = STRIDES.reduce((n, stride) => n + (height / stride) * (width / stride), 0);
    if (tokens < this.config.queries) {
      throw new BackdropError('E_INPUT', `${width}x${height} pixels make ${tokens} tokens, fewer than ${this.config.queries} queries.`, {
        hint: 'Use a larger input size.',
      });
    }
    const maps = this.#backbone.forward(context, image);
    const projected = this.#encoder.project(context, maps);
    const added = this.#associationEncoder;
    const fb = added?.background(context, added.config.bamInput === 'own' ? maps[0] : projected[0]) ?? null;
    const [f1, f2, f3] = this.#encoder.forward(context, projected);
    return [f1, f2, added ? added.forward(context, fb, f3) : f3];
  }
}

/** Builds a model from a name or a configuration; nothing is traced or loaded yet. @throws BackdropError E_MODEL_UNKNOWN, E_MODEL_CONFIG */
export function buildModel(model: string | ModelConfig): DetectionTransformer {
  return new DetectionTransformer(model);
}

/** The state dictionary of a model: names, shapes, kinds, in PyTorch's order. @throws BackdropError E_MODEL_UNKNOWN, E_MODEL_CONFIG */
export function modelParameters(model: string | ModelConfig): ParameterTable {
  return new DetectionTransformer(model).parameters;
}
