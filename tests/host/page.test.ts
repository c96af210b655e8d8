import { describe, expect, it } from 'vitest';
import { page } from '../setup/gpu.ts';

describe('the test page', () => {
  it('gives back typed arrays of several megabytes bit for bit', async () => {
    const bits = new Uint32Array(1 << 20).map((_, i) => Math.imul(i, 2654435761));
    const sent = { floats: new Float32Array(bits.buffer), list: [new Uint8Array([1, 2, 3]), Number.NaN] };
    const back = await page.call<typeof sent>('echo', sent);
    const received = new Uint32Array(back.floats.buffer, back.floats.byteOffset, back.floats.length);
    expect(received.findIndex((word, i) => word !== bits[i])).toBe(-1);
    expect(received.length).toBe(bits.length);
    expect(back.list).toEqual(sent.list);
  });

  it('names the handlers there are when one is missing', async () => {
    await expect(page.call('no such handler')).rejects.toThrow(/no handler "no such handler" \(it has: .*echo/);
  });
});
