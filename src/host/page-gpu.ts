/** A device for a long job, checked before it is trusted. */
import { runSelfTest } from '../detector/self-test.ts';
import { BackdropError } from '../errors.ts';
import { type Gpu, openDevice } from '../gpu/device.ts';
import { KernelCache } from '../gpu/kernels.ts';

export interface CheckedDevice {
  gpu: Gpu;
  kernels: KernelCache;
  /** Kernel variants chosen around a driver's fault, and what to say about them. */
  variants: Readonly<Record<string, string>>;
  warnings: readonly string[];
}

/** @throws BackdropError E_WEBGPU_*, E_GPU_SELF_TEST */
export async function openCheckedDevice(): Promise<CheckedDevice> {
  const gpu = await openDevice();
  const kernels = new KernelCache(gpu);
  const { passed, failures, variants, warnings } = await runSelfTest(gpu, kernels);
  if (passed) return { gpu, kernels, variants, warnings };
  gpu.close();
  throw new BackdropError('E_GPU_SELF_TEST', `This adapter computes wrong results: ${failures.join('; ')}.`, {
    hint: 'Update the graphics driver, or use another adapter.',
    details: { failures },
  });
}
