/** Requesting a device with everything its adapter offers, and turning WebGPU's failures into typed errors. */
import { BackdropError } from '../errors.ts';

export interface AdapterInfo {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  /** True for SwiftShader, lavapipe, WARP and other adapters that run on the CPU. */
  software: boolean;
  subgroupMinSize: number;
  subgroupMaxSize: number;
}

export interface OpenDeviceOptions {
  powerPreference?: GPUPowerPreference;
  /** Limits that must be met, as name to value; an adapter that offers less is refused with E_GPU_LIMIT. */
  requiredLimits?: Record<string, number>;
}

/** Limits whose adapter maximum is always requested: more of them never costs anything. */
const RAISED_LIMITS = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
] as const;

const USED_FEATURES = ['timestamp-query', 'subgroups', 'shader-f16'] as const;

/**
 * A GPUDevice with its failures watched. `failure` is the first error the device reported by itself (an uncaptured
 * validation error, out of memory, or its loss); `check` throws it.
 */
export class Gpu {
  readonly device: GPUDevice;
  readonly info: AdapterInfo;
  /** Objects created so far, so that tests can show that replay creates none. */
  readonly counters = { buffers: 0, bufferBytes: 0, bindGroups: 0, pipelines: 0, submits: 0, readbacks: 0 };
  #failure: BackdropError | null = null;
  #listeners = new Set<(error: BackdropError) => void>();
  #closed = false;

  constructor(device: GPUDevice, info: AdapterInfo) {
    this.device = device;
    this.info = info;
    device.addEventListener('uncapturederror', (event) => {
      const { error } = event;
      const memory = typeof GPUOutOfMemoryError !== 'undefined' && error instanceof GPUOutOfMemoryError;
      this.#fail(
        new BackdropError(memory ? 'E_GPU_OOM' : 'E_GPU_VALIDATION', `WebGPU reported: ${error.message}`, {
          hint: memory ? 'Use a smaller input size or batch.' : 'This is a fault of Backdrop or of the driver: please report it.',
        }),
      );
    });
    void device.lost.then((lost) => {
      if (this.#closed) return;
      this.#fail(
        new BackdropError('E_GPU_LOST', `The GPU device was lost (${lost.reason || 'unknown'}): ${lost.message || 'no message'}`, {
          hint: 'Load the model again; if it happens again, lower the input size or update the graphics driver.',
          details: { reason: lost.reason },
        }),
      );
    });
  }

  #fail(error: BackdropError): void {
    if (this.#failure) return;
    this.#failure = error;
    for (const listener of this.#listeners) listener(error);
  }

  get failure(): BackdropError | null {
    return this.#failure;
  }

  /** Throws the failure the device has reported, if any. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Waits for `work`, or rejects as soon as the device fails: a lost device never leaves a caller hanging. */
  async guard<T>(work: Promise<T>): Promise<T> {
    this.check();
    let listener: (error: BackdropError) => void = () => {};
    const failed = new Promise<never>((_, reject) => {
      listener = reject;
      this.#listeners.add(listener);
    });
    try {
      const result = await Promise.race([work, failed]);
      this.check();
      return result;
    } catch (error) {
      // A map may be refused a moment before the loss of its device is told.
      if (!this.#failure && !this.#closed) await Promise.race([failed.catch(() => {}), new Promise((done) => setTimeout(done, 200))]);
      this.check();
      throw error;
    } finally {
      this.#listeners.delete(listener);
    }
  }

  /** A buffer of `size` bytes (rounded up to 4). Throws E_GPU_LIMIT where the device cannot hold it. */
  createBuffer(label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const bytes = Math.max(4, Math.ceil(size / 4) * 4);
    if (bytes > this.device.limits.maxBufferSize) throw limitError('maxBufferSize', bytes, this.device.limits.maxBufferSize, label);
    this.counters.buffers += 1;
    this.counters.bufferBytes += bytes;
    return this.device.createBuffer({ label, size: bytes, usage });
  }

  destroyBuffer(buffer: GPUBuffer): void {
    this.counters.buffers -= 1;
    this.counters.bufferBytes -= buffer.size;
    buffer.destroy();
  }

  /** Frees the device; what was created with it is gone. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.device.destroy();
  }
}

export function limitError(limit: string, needed: number, offered: number, what: string): BackdropError {
  return new BackdropError('E_GPU_LIMIT', `${what} needs ${limit} ${needed}, this adapter offers ${offered}.`, {
    hint: 'Use a smaller input size, batch or model, or another adapter.',
    details: { limit, needed, offered },
  });
}

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|software|warp|basic render/i;

function describe(adapter: GPUAdapter): AdapterInfo {
  const { vendor, architecture, device, description } = adapter.info;
  const info = adapter.info as GPUAdapterInfo & { isFallbackAdapter?: boolean; subgroupMinSize?: number; subgroupMaxSize?: number };
  return {
    vendor,
    architecture,
    device,
    description,
    software: info.isFallbackAdapter === true || SOFTWARE.test(`${vendor} ${architecture} ${device} ${description}`),
    subgroupMinSize: info.subgroupMinSize ?? 4,
    subgroupMaxSize: info.subgroupMaxSize ?? 128,
  };
}

/**
 * Opens the adapter's best device.
 * @throws BackdropError E_WEBGPU_INSECURE, E_WEBGPU_MISSING, E_WEBGPU_NO_ADAPTER, E_GPU_LIMIT
 */
export async function openDevice(options: OpenDeviceOptions = {}): Promise<Gpu> {
  const gpu = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (!gpu) {
    if (globalThis.isSecureContext === false) {
      throw new BackdropError('E_WEBGPU_INSECURE', 'WebGPU is hidden because this page is not a secure context.', {
        hint: 'Open the page over https:// or from localhost.',
      });
    }
    throw new BackdropError('E_WEBGPU_MISSING', 'This browser has no WebGPU.', {
      hint: 'Use Chrome or Edge 113 and later, Safari 26, or Firefox 141 (Windows) or 145 (Apple silicon) and later.',
    });
  }
  const adapter = await gpu.requestAdapter(options.powerPreference ? { powerPreference: options.powerPreference } : {});
  if (!adapter) {
    throw new BackdropError('E_WEBGPU_NO_ADAPTER', 'WebGPU is there, but no graphics adapter was offered.', {
      hint: 'Turn hardware acceleration on, update the graphics driver, and see chrome://gpu. On Linux Chrome may need --enable-features=Vulkan.',
    });
  }
  return fromAdapter(adapter, options);
}

/** As openDevice, for an adapter the caller chose (Dawn in Node, a particular GPU). */
export async function fromAdapter(adapter: GPUAdapter, options: OpenDeviceOptions = {}): Promise<Gpu> {
  const offered = adapter.limits as unknown as Record<string, number>;
  const requiredLimits: Record<string, number> = {};
  for (const name of RAISED_LIMITS) if (offered[name] !== undefined) requiredLimits[name] = offered[name];
  for (const [name, needed] of Object.entries(options.requiredLimits ?? {})) {
    const value = offered[name] ?? 0;
    if (value < needed) throw limitError(name, needed, value, 'The model');
    requiredLimits[name] = Math.max(needed, requiredLimits[name] ?? 0);
  }
  const requiredFeatures = USED_FEATURES.filter((name) => adapter.features.has(name));
  return new Gpu(await adapter.requestDevice({ requiredLimits, requiredFeatures }), describe(adapter));
}
