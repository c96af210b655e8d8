/** Page side of "backdrop doctor": the adapter, what it offers, and whether it computes correctly. */
import { runSelfTest, type SelfTestResult } from '../detector/self-test.ts';
import { type AdapterInfo, openDevice } from '../gpu/device.ts';
import { KernelCache } from '../gpu/kernels.ts';
import { register } from './page-registry.ts';

export interface DoctorReport {
  adapter: AdapterInfo;
  limits: Record<string, number>;
  features: string[];
  selfTest: SelfTestResult;
  /** Of the page, in bytes and GB; null where the browser does not say. */
  memory: { heapLimit: number | null; deviceGb: number | null };
}

register('doctor', async (): Promise<DoctorReport> => {
  const gpu = await openDevice();
  try {
    const { limits, features } = gpu.device;
    const entries: [string, number][] = [];
    for (const name in limits) {
      const value = (limits as unknown as Record<string, unknown>)[name];
      if (typeof value === 'number') entries.push([name, value]);
    }
    const { memory } = performance as Performance & { memory?: { jsHeapSizeLimit: number } };
    const { deviceMemory } = navigator as Navigator & { deviceMemory?: number };
    return {
      adapter: gpu.info,
      limits: Object.fromEntries(entries.sort(([a], [b]) => a.localeCompare(b))),
      features: [...features].sort(),
      selfTest: await runSelfTest(gpu, new KernelCache(gpu)),
      memory: { heapLimit: memory?.jsHeapSizeLimit ?? null, deviceGb: deviceMemory ?? null },
    };
  } finally {
    gpu.close();
  }
});
