/** Profiles a small Program by both clocks. */
import { openDevice } from '../../src/gpu/device.ts';
import { KernelCache } from '../../src/gpu/kernels.ts';
import { type Profile, profileSteps } from '../../src/gpu/profiler.ts';
import { Graph } from '../../src/graph/graph.ts';
import { ParameterStore } from '../../src/graph/parameters.ts';
import { Program } from '../../src/graph/program.ts';
import { register } from '../../src/host/page-registry.ts';
import { add, relu } from '../../src/ops/pointwise.ts';

export interface ProfiledTwice {
  timestamps: Profile;
  wallClock: Profile;
  before: Float32Array;
  after: Float32Array;
  /** Buffers left over. */
  left: number;
  hasTimestamps: boolean;
}

register<null>('profiler', async (): Promise<ProfiledTwice> => {
  const gpu = await openDevice();
  try {
    const graph = new Graph();
    const x = graph.input('x', [4096]);
    const once = relu(x);
    graph.output('once', once);
    graph.output('twice', add(once, x));
    const parameters = new ParameterStore(gpu, { readFloat32: () => Promise.reject(new Error('no checkpoint')) });
    const program = await Program.build(gpu, new KernelCache(gpu), graph, parameters);
    const data = Float32Array.from({ length: 4096 }, (_, i) => (i % 17) - 8);
    const before = (await program.run({ x: data })).get('twice') as Float32Array;
    const buffers = gpu.counters.buffers;
    const timestamps = await profileSteps(gpu, program.steps, { rounds: 3 });
    const wallClock = await profileSteps(gpu, program.steps, { rounds: 2, timestamps: false });
    const after = (await program.run({})).get('twice') as Float32Array;
    return {
      timestamps,
      wallClock,
      before,
      after,
      left: gpu.counters.buffers - buffers,
      hasTimestamps: gpu.device.features.has('timestamp-query'),
    };
  } finally {
    gpu.close();
  }
});
