/** The recorded step from an image's pixels to the network's input. One for each pair of sizes; the latest few are kept. */
import { BackdropError } from '../errors.ts';
import type { Gpu } from '../gpu/device.ts';
import type { KernelCache } from '../gpu/kernels.ts';
import { Graph } from '../graph/graph.ts';
import type { ParameterStore } from '../graph/parameters.ts';
import { Program } from '../graph/program.ts';
import { imageToTensor } from '../ops/preprocess.ts';
import type { PixelImage } from '../pixels.ts';
import { resizeTable } from '../resize-table.ts';
import { packPixels } from './image.ts';

const KEPT = 4;

export class Preprocessor {
  readonly #gpu: Gpu;
  readonly #kernels: KernelCache;
  readonly #parameters: ParameterStore;
  /** By sizes, least recently used first. */
  readonly #programs = new Map<string, Program>();

  constructor(gpu: Gpu, kernels: KernelCache, parameters: ParameterStore) {
    this.#gpu = gpu;
    this.#kernels = kernels;
    this.#parameters = parameters;
  }

  /** Resizes the image into `input` of `target`, [1, height, width, 3]. */
  async run(image: PixelImage, target: Program, input: string): Promise<void> {
    const [, height, width] = target.graph.inputs.get(input)!.shape;
    const program = await this.#program(image.width, image.height, width, height);
    program.write('pixels', packPixels(image));
    program.submitInto('tensor', target, input);
  }

  /** @throws BackdropError E_IMAGE for a picture that no buffer of the adapter holds */
  async #program(fromWidth: number, fromHeight: number, width: number, height: number): Promise<Program> {
    const most = Math.floor(this.#gpu.device.limits.maxStorageBufferBindingSize / 4);
    if (fromWidth * fromHeight > most) {
      throw new BackdropError('E_IMAGE', `The picture has ${fromWidth}x${fromHeight} pixels, this adapter takes ${most}.`, {
        hint: 'Scale the picture down first; the network sees far fewer pixels anyway.',
      });
    }
    const key = [fromWidth, fromHeight, width, height].join('x');
    let program = this.#programs.get(key);
    this.#programs.delete(key);
    if (!program) {
      const graph = new Graph();
      const columns = resizeTable(fromWidth, width);
      const rows = resizeTable(fromHeight, height);
      const tensor = imageToTensor(
        graph.input('pixels', [fromHeight, fromWidth], 'u32'),
        graph.input('columns', [width, columns.taps + 2], 'u32'),
        graph.input('rows', [height, rows.taps + 2], 'u32'),
      );
      graph.output('tensor', tensor);
      program = await Program.build(this.#gpu, this.#kernels, graph, this.#parameters);
      program.write('columns', columns.data);
      program.write('rows', rows.data);
    }
    this.#programs.set(key, program);
    for (const [old, unused] of this.#programs) {
      if (this.#programs.size <= KEPT) break;
      this.#programs.delete(old);
      unused.destroy();
    }
    return program;
  }

  destroy(): void {
    for (const program of this.#programs.values()) program.destroy();
    this.#programs.clear();
  }
}
