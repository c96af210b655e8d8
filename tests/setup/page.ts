/**
 * The page of the test run. Handlers live in tests/**\/*.page.ts (found by esbuild.config.mjs); this file adds what every
 * one of them gets: an uncaptured WebGPU error fails the call during which it was raised.
 */
import { BackdropError } from '../../src/errors.ts';
import { register } from '../../src/host/page-registry.ts';
import { serve } from '../../src/host/page-runtime.ts';

const uncaptured: string[] = [];
const devices = new Set<WeakRef<GPUDevice>>();

if ('gpu' in navigator) {
  const requestDevice = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (this: GPUAdapter, descriptor?: GPUDeviceDescriptor) {
    const device = await requestDevice.call(this, descriptor);
    device.addEventListener('uncapturederror', (event) => uncaptured.push(event.error.message));
    devices.add(new WeakRef(device));
    return device;
  };
}

/** Errors arrive after the commands that caused them: wait until every queue has drained. */
async function checkErrors(): Promise<void> {
  for (const ref of devices) {
    const device = ref.deref();
    if (!device) devices.delete(ref);
    else await Promise.race([device.queue.onSubmittedWorkDone().catch(() => {}), device.lost]);
  }
  if (uncaptured.length === 0) return;
  const messages = uncaptured.splice(0);
  throw new BackdropError('E_GPU_VALIDATION', `uncaptured WebGPU error: ${messages.join('\n')}`, { details: { messages } });
}

/** The payload comes back as it is. */
register('echo', (payload) => payload);

void serve({ afterJob: checkErrors });
