/** Backdrop as a subject: a Program a case, one submission a run, as an application would do it. */
import type { OpCase } from '../../src/bench/cases.ts';
import { traceCase } from '../../src/bench/trace.ts';
import { type Gpu, openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { Program } from '../../src/graph/program.ts';
import type { Data, Prepared, Subject } from './subject.ts';

export class Ours implements Subject {
  readonly name = 'backdrop';
  readonly gpu: Gpu;
  readonly kernels: KernelCache;
  readonly #variants: Record<string, string>;

  private constructor(gpu: Gpu, variants: Record<string, string>) {
    this.gpu = gpu;
    this.kernels = new KernelCache(gpu);
    this.#variants = variants;
  }

  static async start(variants: Record<string, string>): Promise<Ours> {
    return new Ours(await openDevice(), variants);
  }

  async prepare(op: OpCase, data: Data): Promise<Prepared> {
    const { graph, inputs, order } = traceCase(op, data);
    const parameters = new ParameterStore(this.gpu, { readFloat32: () => Promise.reject(new Error('no checkpoint')) });
    const program = await Program.build(this.gpu, this.kernels, graph, parameters, { variants: this.#variants });
    for (const [name, values] of Object.entries(inputs)) program.write(name, values);
    return {
      run: async (times) => {
        for (let i = 0; i < times; i++) program.submit();
        await this.gpu.guard(this.gpu.device.queue.onSubmittedWorkDone());
      },
      result: async () => order((await program.run({})).get('y') as Float32Array),
      destroy: () => {
        program.destroy();
        parameters.destroy();
      },
    };
  }
}
