/** What the adapter can do at most: multiply-adds without memory, and copying without arithmetic. Measured, not looked up. */
import copy from '../../shaders/bench/copy.wgsl';
import fma from '../../shaders/bench/fma.wgsl';
import type { Gpu } from '../gpu/device.ts';
import { type KernelCache, type KernelSpec, packParams } from '../gpu/kernels.ts';
import { type ProfiledStep, profileSteps } from '../gpu/profiler.ts';
import type { Shader } from '../gpu/shader.ts';
import { fold } from '../ops/common.ts';

export interface Ceiling {
  gflops: number;
  gbps: number;
  /** Of the vec4f and of the scalar kernel. */
  vectorGflops: number;
  scalarGflops: number;
}

/** Threads enough to fill any adapter's waves; on a processor they take a hundredth of a second. */
const THREADS = { software: 64 * 256, hardware: 64 * 16384 };
const LOOPS = { software: 512, hardware: 1024 };
/** Beyond every cache but the largest. WebGPU guarantees bindings of 128 MiB. */
const COPY_BYTES = 64 * 2 ** 20;

export async function measureCeiling(gpu: Gpu, kernels: KernelCache, rounds = 5): Promise<Ceiling> {
  const kind = gpu.info.software ? 'software' : 'hardware';
  const threads = THREADS[kind];
  const loops = LOOPS[kind];
  const sums = gpu.createBuffer('ceiling sums', threads * 4, 0x80 /* STORAGE */);
  const from = gpu.createBuffer('ceiling from', COPY_BYTES, 0x80);
  const to = gpu.createBuffer('ceiling to', COPY_BYTES, 0x80);
  const uniforms: GPUBuffer[] = [];
  const step = async (
    spec: KernelSpec,
    buffers: Record<string, GPUBuffer>,
    params: Record<string, number>,
    work: Pick<ProfiledStep, 'label' | 'grid' | 'flops' | 'bytes'>,
  ): Promise<ProfiledStep> => {
    const { pipeline, layout } = await gpu.guard(kernels.get(spec));
    const uniform = uniformOf(gpu, spec.shader, params);
    uniforms.push(uniform);
    const entries: GPUBindGroupEntry[] = spec.shader.bindings.map(({ name, binding }) => ({
      binding,
      resource: { buffer: buffers[name] },
    }));
    entries.push({ binding: spec.shader.params!.binding, resource: { buffer: uniform } });
    return { pipeline, bindGroup: gpu.device.createBindGroup({ layout, entries }), kernel: spec.shader.name, ...work };
  };
  const count = COPY_BYTES / 16;
  const steady = { loops, factor: 1, addend: 0 };
  const grid: [number, number, number] = [threads / 64, 1, 1];
  const flops = 2 * threads * loops;
  try {
    const steps = [
      await step({ shader: fma }, { y: sums }, steady, { label: 'scalar', grid, flops: flops * 16, bytes: 0 }),
      await step({ shader: fma, entry: 'vector' }, { y: sums }, steady, { label: 'vector', grid, flops: flops * 32, bytes: 0 }),
      await step(
        { shader: copy },
        { x: from, y: to },
        { count },
        {
          label: 'copy',
          grid: [...fold(count / 256), 1],
          flops: 0,
          bytes: 2 * COPY_BYTES,
        },
      ),
    ];
    const { steps: timed } = await profileSteps(gpu, steps, { rounds, minMicroseconds: 2000 });
    // The best round: a ceiling is what the adapter reaches undisturbed.
    const best = (i: number, work: number) => work / timed[i].samples[0] / 1000;
    const [scalarGflops, vectorGflops, gbps] = steps.map(({ flops: f, bytes }, i) => best(i, f + bytes));
    return { gflops: Math.max(scalarGflops, vectorGflops), gbps, scalarGflops, vectorGflops };
  } finally {
    for (const buffer of [sums, from, to, ...uniforms]) gpu.destroyBuffer(buffer);
  }
}

function uniformOf(gpu: Gpu, shader: Shader, values: Record<string, number>): GPUBuffer {
  const data = new ArrayBuffer(shader.params!.size);
  packParams(shader, values, new DataView(data), 0);
  const buffer = gpu.createBuffer('ceiling', data.byteLength, 0x40 | 0x8 /* UNIFORM | COPY_DST */);
  gpu.device.queue.writeBuffer(buffer, 0, data);
  return buffer;
}
