import { describe, expect, it } from 'vitest';
import type { DetectionResult } from '../../src/detector/detector.ts';
import type { SelfTestResult } from '../../src/detector/self-test.ts';
import { smallModels } from '../models/small-models.ts';
import { page } from '../setup/gpu.ts';

type Counters = Record<'buffers' | 'bufferBytes' | 'bindGroups' | 'pipelines' | 'submits' | 'readbacks', number>;

interface Reply {
  results: DetectionResult[];
  counters: Counters[];
  progress: string[];
  selfTest: SelfTestResult;
  labels: string[];
  left: number;
  after: string;
}

const config = smallModels['tiny-ae-v1'];
const detect = (payload: object): Promise<Reply> => page.call<Reply>('detect', { config, ...payload });
const everything = { threshold: 0 };

describe('a detector', () => {
  it('creates nothing while it detects, and leaves nothing behind', async () => {
    const pictures = Array.from({ length: 20 }, (_, i) => [`picture ${i % 3}`, 150, 90]);
    const { counters, results, left, after, progress, labels } = await detect({ pictures, options: everything });
    for (const { submits, readbacks, ...objects } of counters.slice(1)) {
      const { submits: _, readbacks: __, ...first } = counters[0];
      expect(objects).toEqual(first);
      expect(submits).toBeGreaterThan(0);
      expect(readbacks).toBeGreaterThan(0);
    }
    expect(left).toBe(0);
    expect(after).toBe('This detector was disposed of.');
    // The same picture again, the same bits.
    expect(results[3].detections).toEqual(results[0].detections);
    expect(results[1].detections).not.toEqual(results[0].detections);
    expect(progress[0]).toMatch(/^weights 1\//);
    expect(progress.at(-1)).toMatch(/^kernels (\d+)\/\1$/);
    expect(labels).toEqual(['class 0', 'class 1', 'class 2', 'class 3', 'class 4']);
  });

  it('gives boxes in pixels of the picture, with times of every part', async () => {
    const { results } = await detect({ pictures: [['a', 150, 90]], options: { threshold: 0, maxResults: 7 } });
    const [{ detections, timings, width, height }] = results;
    expect([width, height]).toEqual([150, 90]);
    expect(detections).toHaveLength(7);
    detections.forEach(({ score, label, labelId, box }, i) => {
      expect(label).toBe(`class ${labelId}`);
      expect(score).toBeLessThanOrEqual(detections[Math.max(0, i - 1)].score);
      const [cx, cy] = [(box.xmin + box.xmax) / 2, (box.ymin + box.ymax) / 2];
      expect(cx >= 0 && cx <= 150 && cy >= 0 && cy <= 90, `centre ${cx}, ${cy}`).toBe(true);
    });
    const { decode, preprocess, inference, postprocess, total } = timings;
    expect(decode + preprocess + inference + postprocess).toBeCloseTo(total, 3);
    expect(inference).toBeGreaterThan(0);
  });

  it('lets calls wait for their turn', async () => {
    const pictures = [
      ['a', 150, 90],
      ['b', 64, 200],
      ['a', 150, 90],
    ];
    const { results } = await detect({ pictures, options: everything, together: true });
    expect(results[2].detections).toEqual(results[0].detections);
    expect(results[1].detections).not.toEqual(results[0].detections);
  });

  it('keeps no more than a few picture sizes', async () => {
    const pictures = Array.from({ length: 9 }, (_, i) => ['a', 100 + i, 80]);
    const { counters, left } = await detect({ pictures, options: everything });
    expect(counters[8].buffers).toBe(counters[4].buffers);
    expect(left).toBe(0);
  });

  it('takes another input size for a call', async () => {
    const sizes = await detect({ pictures: [['a', 150, 90]], options: { threshold: 0, size: [96, 160] } });
    const own = await detect({ pictures: [['a', 150, 90]], options: everything });
    expect(sizes.results[0].detections).not.toEqual(own.results[0].detections);
  });

  it.each([
    [{ classes: ['dog'] }, 'E_INPUT', 'The model has no class "dog".'],
    [{ size: 100 }, 'E_INPUT', 'The input size 100x100 is not a multiple of 32'],
  ])('refuses %j', async (options, code, message) => {
    await expect(detect({ pictures: [['a', 64, 64]], options })).rejects.toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(message) }),
    );
  });

  it('refuses what is no picture', async () => {
    await expect(page.call('detect file', { config, file: new Uint8Array([1, 2, 3]) })).rejects.toThrow(
      expect.objectContaining({ code: 'E_IMAGE' }),
    );
  });

  it('stops where it is told to, and frees what it had', async () => {
    for (const at of ['start', 'weights', 'kernels']) {
      expect(await page.call('detect abort', { config, at })).toEqual({ outcome: 'the user left', leaked: 0 });
    }
    expect(await page.call('detect abort', { config, at: 'never' })).toEqual({ outcome: 'the user left; then it works', leaked: 0 });
  });
});

describe('the self-test', () => {
  it('passes on this adapter and leaves nothing behind', async () => {
    const { cold, warm, leaked } = await page.call<{ cold: SelfTestResult; warm: SelfTestResult; leaked: number }>(
      'self-test of the kernels',
    );
    for (const result of [cold, warm]) {
      expect(result).toMatchObject({ passed: true, failures: [], warnings: [], variants: {} });
    }
    expect(leaked).toBe(0);
  });

  it('finds a fault in the fast matrix product and goes around it', async () => {
    const result = await page.call<SelfTestResult>('self-test of a faulty driver', { faulty: 'gemm/', sound: 'gemm/registers' });
    expect(result).toMatchObject({ passed: true, variants: { gemm: 'registers' } });
    expect(result.failures).toEqual(['matrix product: wrong result on this adapter']);
    expect(result.warnings[0]).toContain('matrix product');
  });

  it('does not pass where no variant is right', async () => {
    const result = await page.call<SelfTestResult>('self-test of a faulty driver', { faulty: 'gemm/' });
    expect(result).toMatchObject({ passed: false, failures: ['matrix product: wrong result on this adapter'] });
  });
});
