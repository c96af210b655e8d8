/** Handlers for tests/host/session.test.ts. */
import { BackdropError } from '../../src/errors.ts';
import { register } from '../../src/host/page-registry.ts';

register('never', () => new Promise(() => {}));

register('count', async (to: number, { progress }) => {
  for (let i = 1; i <= to; i++) progress({ i, data: new Float32Array([i]) });
  return to;
});

register('until aborted', (_, { signal }) => new Promise((done) => signal.addEventListener('abort', () => done(null))));

register('throw', (message: string) => {
  throw new BackdropError('E_SHAPE', message, { hint: 'look', details: { shape: [1, 2] } });
});

register('fetch', async (url: string) => new Uint8Array(await (await fetch(url)).arrayBuffer()));

/** A command that WebGPU refuses, outside any error scope. */
register('invalid command', async () => {
  const device = await (await navigator.gpu.requestAdapter())!.requestDevice();
  device.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
});
