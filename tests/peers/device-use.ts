/** What each device is asked for: bytes of buffers, dispatches, submissions. Counted where a page calls WebGPU. */
export interface DeviceUse {
  liveBytes: number;
  /** Most bytes at once. */
  peakBytes: number;
  dispatches: number;
  submits: number;
}

const uses = new WeakMap<object, DeviceUse>();

/** Of a device, or of a queue, encoder, pass or buffer that belongs to it. */
function useOf(owner: object): DeviceUse {
  let use = uses.get(owner);
  if (!use) {
    use = { liveBytes: 0, peakBytes: 0, dispatches: 0, submits: 0 };
    uses.set(owner, use);
  }
  return use;
}

export const deviceUse = (device: GPUDevice): Readonly<DeviceUse> => ({ ...useOf(device) });

type Method = (this: object, ...args: unknown[]) => unknown;

/** Calls `note` behind every call of a method. */
function watch(prototype: object, name: string, note: (owner: object, result: unknown, args: unknown[]) => void): void {
  const methods = prototype as Record<string, Method>;
  const original = methods[name];
  methods[name] = function (...args) {
    const result = original.apply(this, args);
    note(this, result, args);
    return result;
  };
}

/** Must be called before any device exists. */
export function watchDevices(): void {
  const hand = (owner: object, part: object) => uses.set(part, useOf(owner));
  watch(GPUAdapter.prototype, 'requestDevice', (_, promise) => {
    (promise as Promise<GPUDevice>).then(
      (device) => hand(device, device.queue),
      () => {},
    );
  });
  watch(GPUDevice.prototype, 'createBuffer', (device, buffer) => {
    const use = useOf(device);
    hand(device, buffer as GPUBuffer);
    use.liveBytes += (buffer as GPUBuffer).size;
    use.peakBytes = Math.max(use.peakBytes, use.liveBytes);
  });
  watch(GPUBuffer.prototype, 'destroy', (buffer) => {
    useOf(buffer).liveBytes -= (buffer as GPUBuffer).size;
    // A second call frees nothing.
    uses.delete(buffer);
  });
  watch(GPUDevice.prototype, 'createCommandEncoder', (device, encoder) => hand(device, encoder as object));
  watch(GPUCommandEncoder.prototype, 'beginComputePass', (encoder, pass) => hand(encoder, pass as object));
  for (const name of ['dispatchWorkgroups', 'dispatchWorkgroupsIndirect']) {
    watch(GPUComputePassEncoder.prototype, name, (pass) => {
      useOf(pass).dispatches += 1;
    });
  }
  watch(GPUQueue.prototype, 'submit', (queue) => {
    useOf(queue).submits += 1;
  });
}
