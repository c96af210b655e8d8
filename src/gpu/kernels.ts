/**
 * Kernels: a shader with its hooks filled in and its constants set. Pipelines are deduplicated by text and constants,
 * because a browser compiles identical WGSL as often as it is given it, and compiled asynchronously.
 */
import { BackdropError } from '../errors.ts';
import type { Gpu } from './device.ts';
import type { Shader } from './shader.ts';

export interface KernelSpec {
  shader: Shader;
  entry?: string;
  /** Override constants. */
  constants?: Readonly<Record<string, number>>;
  /** Values of `// specialise` module constants, which may size arrays. */
  consts?: Readonly<Record<string, number>>;
  /** The type that `alias Value` stands for, where a kernel has one body for scalars and vectors. */
  value?: 'f32' | 'u32' | 'vec4f' | 'vec4u';
  /** Bodies that replace the default bodies of `// hook` functions. */
  hooks?: Readonly<Record<string, string>>;
  /** Functions that the hook bodies call. */
  library?: string;
}

export interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly label: string;
}

export interface CompileProgress {
  compiled: number;
  total: number;
}

/** The WGSL that a spec compiles to: the file with hook bodies, the element type and specialised constants put in. */
export function specialise(spec: KernelSpec): string {
  let code = spec.shader.code;
  for (const [name, body] of Object.entries(spec.hooks ?? {})) {
    const start = code.search(new RegExp(`\\bfn\\s+${name}\\s*\\(`));
    if (!(name in spec.shader.hooks) || start < 0)
      throw new BackdropError('E_GPU_VALIDATION', `${spec.shader.name} has no hook named ${name}.`);
    const open = code.indexOf('{', start);
    let depth = 1;
    let end = open + 1;
    while (depth > 0) {
      if (code[end] === '{') depth += 1;
      else if (code[end] === '}') depth -= 1;
      end += 1;
    }
    code = `${code.slice(0, open)}{ ${body} }${code.slice(end)}`;
  }
  if (spec.value) {
    const alias = /\balias\s+Value\s*=\s*\w+\s*;/;
    if (!alias.test(code)) throw new BackdropError('E_GPU_VALIDATION', `${spec.shader.name} has no alias Value.`);
    code = code.replace(alias, `alias Value = ${spec.value};`);
  }
  for (const [name, value] of Object.entries(spec.consts ?? {})) {
    const declaration = new RegExp(`\\bconst\\s+${name}\\s*:\\s*u32\\s*=\\s*\\d+u?\\s*;`);
    if (!declaration.test(code)) throw new BackdropError('E_GPU_VALIDATION', `${spec.shader.name} has no constant ${name} to specialise.`);
    code = code.replace(declaration, `const ${name}: u32 = ${value}u;`);
  }
  return spec.library ? `${code}\n${spec.library}` : code;
}

export class KernelCache {
  readonly #gpu: Gpu;
  readonly #kernels = new Map<string, Promise<Kernel>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #modules = new Map<string, GPUShaderModule>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Distinct pipelines compiled so far. */
  get size(): number {
    return this.#kernels.size;
  }

  /** The identity of a kernel: equal keys share a pipeline. */
  static key(spec: KernelSpec): string {
    const constants = Object.entries(spec.constants ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
    return JSON.stringify([
      spec.shader.name,
      spec.entry ?? 'main',
      constants,
      spec.consts ?? {},
      spec.value ?? '',
      spec.hooks ?? {},
      spec.library ?? '',
    ]);
  }

  get(spec: KernelSpec): Promise<Kernel> {
    const key = KernelCache.key(spec);
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      kernel = this.#compile(spec);
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  /** Compiles all of them, in parallel, telling how far it is. */
  async prepare(specs: readonly KernelSpec[], onProgress?: (progress: CompileProgress) => void): Promise<Kernel[]> {
    const total = new Set(specs.map(KernelCache.key)).size;
    const counted = new Set<string>();
    return Promise.all(
      specs.map(async (spec) => {
        const kernel = await this.#gpu.guard(this.get(spec));
        const key = KernelCache.key(spec);
        if (!counted.has(key)) {
          counted.add(key);
          onProgress?.({ compiled: counted.size, total });
        }
        return kernel;
      }),
    );
  }

  async #compile(spec: KernelSpec): Promise<Kernel> {
    const { device } = this.#gpu;
    const { shader } = spec;
    const entry = spec.entry ?? 'main';
    const code = specialise(spec);
    let module = this.#modules.get(code);
    if (!module) {
      module = device.createShaderModule({ label: shader.name, code });
      this.#modules.set(code, module);
    }
    const layout = this.#layout(shader);
    this.#gpu.counters.pipelines += 1;
    try {
      const pipeline = await device.createComputePipelineAsync({
        label: shader.name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: entry, constants: { ...spec.constants } },
      });
      return { pipeline, layout, label: shader.name };
    } catch (cause) {
      this.#gpu.check();
      const messages = (await module.getCompilationInfo()).messages.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`);
      throw new BackdropError('E_GPU_VALIDATION', `${shader.name} did not compile: ${messages.join('; ') || String(cause)}`, {
        hint: 'This is a fault of Backdrop or of the driver: please report it with the adapter named by `backdrop doctor`.',
        details: { code },
        cause,
      });
    }
  }

  /** Explicit layouts, shared between kernels of equal shape, so that a bind group outlives its pipeline variant. */
  #layout(shader: Shader): GPUBindGroupLayout {
    const entries: GPUBindGroupLayoutEntry[] = shader.bindings.map(({ binding, access }) => ({
      binding,
      visibility: 4 /* GPUShaderStage.COMPUTE */,
      buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
    }));
    if (shader.params) entries.push({ binding: shader.params.binding, visibility: 4, buffer: { type: 'uniform' } });
    const key = JSON.stringify(entries);
    let layout = this.#layouts.get(key);
    if (!layout) {
      layout = this.#gpu.device.createBindGroupLayout({ entries });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}

/** Writes uniform values at the offsets that wgsl_reflect found. Every field must be given. */
export function packParams(shader: Shader, values: Readonly<Record<string, number>>, view: DataView, at: number): void {
  if (!shader.params) return;
  for (const [name, { offset, type }] of Object.entries(shader.params.fields)) {
    const value = values[name];
    if (value === undefined) throw new BackdropError('E_GPU_VALIDATION', `${shader.name}: params.${name} was not given.`);
    if (type === 'f32') view.setFloat32(at + offset, value, true);
    else if (type === 'i32') view.setInt32(at + offset, value, true);
    else view.setUint32(at + offset, value, true);
  }
}
