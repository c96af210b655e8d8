/** Does this adapter compute what it should? One small kernel against known answers, within WGSL's own error bounds. */
import arithmetic from '../../shaders/self-test/arithmetic.wgsl';

export interface SelfTestResult {
  name: string;
  ok: boolean;
  /** Largest error, in units in the last place of float32, and what WGSL allows; absent where the answer is exact. */
  ulp?: number;
  allowed?: number;
}

const lanes = 256;
const divisor = 3;

/** Runs the canary kernel on a device. Throws only when the kernel cannot run at all. */
export async function selfTest(device: GPUDevice): Promise<SelfTestResult[]> {
  const x = new Float32Array(lanes).map((_, i) => 0.0625 * (i + 1));
  const { out, sums } = await runKernel(device, x);
  const expectedSum = x.reduce((sum, _, i) => (sum + Math.imul(i, 2654435761)) >>> 0, 0);
  const results: SelfTestResult[] = [];
  const compare = (name: string, offset: number, exact: (value: number) => number, allowed: (value: number) => number) => {
    let worst = { ulp: 0, allowed: allowed(x[0]!) };
    let ok = true;
    x.forEach((value, i) => {
      const error = ulpDistance(out[offset + i]!, exact(value));
      const limit = allowed(value);
      ok &&= error <= limit;
      if (!(error / limit <= worst.ulp / worst.allowed)) worst = { ulp: error, allowed: limit };
    });
    results.push({ name, ok, ...worst });
  };
  // WGSL §15.7.4; sqrt inherits 2 ulp of inverseSqrt and 2.5 of the division.
  compare(
    'exp',
    0,
    (value) => Math.exp(-value),
    (value) => 3 + 2 * value,
  );
  compare('sqrt', lanes, Math.sqrt, () => 4.5);
  compare(
    'division',
    2 * lanes,
    (value) => value / divisor,
    () => 2.5,
  );
  const reversed = x.every((_, i) => out[3 * lanes + i] === x[lanes - 1 - i]);
  results.push({ name: 'workgroup memory', ok: reversed });
  results.push({ name: 'barriers and integers', ok: sums[0] === expectedSum && sums[1] === lanes });
  return results;
}

/** Distance in float32 steps at the size of the exact value. */
function ulpDistance(found: number, exact: number): number {
  const step = 2 ** (Math.floor(Math.log2(Math.abs(exact))) - 23);
  return Math.abs(found - exact) / step;
}

async function runKernel(device: GPUDevice, x: Float32Array<ArrayBuffer>): Promise<{ out: Float32Array; sums: Uint32Array }> {
  const { STORAGE, COPY_SRC, COPY_DST, UNIFORM, MAP_READ } = GPUBufferUsage;
  const buffers: GPUBuffer[] = [];
  const buffer = (label: string, size: number, usage: number) => {
    const made = device.createBuffer({ label: `self-test ${label}`, size, usage });
    buffers.push(made);
    return made;
  };
  try {
    const outBytes = 4 * lanes * 4;
    const named: Record<string, GPUBuffer> = {
      x: buffer('x', x.byteLength, STORAGE | COPY_DST),
      out: buffer('out', outBytes, STORAGE | COPY_SRC),
      sums: buffer('sums', 8, STORAGE | COPY_SRC),
    };
    const params = buffer('params', arithmetic.params!.size, UNIFORM | COPY_DST);
    const readback = buffer('readback', outBytes + 8, MAP_READ | COPY_DST);
    device.queue.writeBuffer(named.x!, 0, x);
    device.queue.writeBuffer(params, arithmetic.params!.fields.divisor.offset, new Float32Array([divisor]));
    const pipeline = await device.createComputePipelineAsync({
      label: arithmetic.name,
      layout: 'auto',
      compute: { module: device.createShaderModule({ label: arithmetic.name, code: arithmetic.code }), entryPoint: 'main' },
    });
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [
        ...arithmetic.bindings.map(({ name, binding }) => ({ binding, resource: { buffer: named[name]! } })),
        { binding: arithmetic.params!.binding, resource: { buffer: params } },
      ],
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(named.out!, 0, readback, 0, outBytes);
    encoder.copyBufferToBuffer(named.sums!, 0, readback, outBytes, 8);
    device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    const bytes = readback.getMappedRange().slice(0);
    return { out: new Float32Array(bytes, 0, 4 * lanes), sums: new Uint32Array(bytes, outBytes, 2) };
  } finally {
    for (const made of buffers) made.destroy();
  }
}
