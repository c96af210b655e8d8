/** Page side of the optimizer's tests: takes steps with gradients it is given, and reads everything back after each. */
import { openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { register } from '../../src/host/page-registry.ts';
import { ArenaLayout, type ArenaTensor } from '../../src/training/arena.ts';
import { Optimizer, type OptimizerOptions, type StepSettings, type StepStatus } from '../../src/training/optimizer.ts';

type Values = Record<string, Float32Array>;

export interface OptimizerCase {
  tensors: ArenaTensor[];
  options: OptimizerOptions;
  /** Bytes of a segment; the device's limit when left out. */
  segmentBytes?: number;
  initial: Values;
  /** Gradients of each step's parts. */
  steps: { parts: Values[]; settings: StepSettings }[];
}

export interface OptimizerState {
  status: StepStatus;
  parameters: Values;
  average: Values;
  first: Values;
  second: Values;
}

register<OptimizerCase>('optimizer', async ({ tensors, options, segmentBytes, initial, steps }) => {
  const gpu = await openDevice();
  const layout = new ArenaLayout(tensors, segmentBytes ?? gpu.device.limits.maxStorageBufferBindingSize);
  const before = gpu.counters.buffers;
  const optimizer = await Optimizer.create(gpu, new KernelCache(gpu), layout, options);
  for (const [name, values] of Object.entries(initial)) {
    optimizer.parameters.write(name, values);
    optimizer.average?.write(name, values);
  }
  const staging = gpu.createBuffer('status', 16, 0x1 | 0x8);
  const states: OptimizerState[] = [];
  let created = -1;
  for (const { parts, settings } of steps) {
    const objects = gpu.counters.buffers + gpu.counters.bindGroups;
    optimizer.configure(settings);
    const run = (body: (pass: GPUComputePassEncoder) => void, copy = false) => {
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      body(pass);
      pass.end();
      if (copy) encoder.copyBufferToBuffer(optimizer.statusBuffer, 0, staging, 0, 16);
      gpu.device.queue.submit([encoder.finish()]);
    };
    parts.forEach((gradients, i) => {
      for (const [name, values] of Object.entries(gradients)) optimizer.gradients.write(name, values);
      if (options.accumulation) run((pass) => optimizer.accumulate(pass, i === 0));
    });
    run((pass) => optimizer.encode(pass), true);
    created = Math.max(created, gpu.counters.buffers + gpu.counters.bindGroups - objects);
    await staging.mapAsync(1);
    const status = optimizer.status(new Uint32Array(staging.getMappedRange().slice(0)));
    staging.unmap();
    const read = async (arena: Optimizer['average']) => (arena ? Object.fromEntries(await arena.read()) : {});
    states.push({
      status,
      parameters: await read(optimizer.parameters),
      average: await read(optimizer.average),
      first: await read(optimizer.firstMoments),
      second: await read(optimizer.secondMoments),
    });
  }
  const { dispatches } = optimizer;
  gpu.destroyBuffer(staging);
  optimizer.destroy();
  if (gpu.counters.buffers !== before) throw new Error(`${gpu.counters.buffers - before} buffers were not destroyed`);
  gpu.check();
  gpu.close();
  return { states, dispatches, segments: layout.segments.length, created };
});
