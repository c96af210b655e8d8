import { describe, expect, it } from 'vitest';
import { type BackgroundMap, backgroundEnergy, classHeatmap, Inspection, type SamplingPoint } from '../../src/detector/inspection.ts';
import type { Detection } from '../../src/detector/postprocess.ts';
import { Graph } from '../../src/graph/graph.ts';
import { smallModels } from '../models/small-models.ts';
import { page } from '../setup/gpu.ts';

interface Reply {
  background: BackgroundMap | null;
  points: SamplingPoint[][];
  without: Detection[];
  never: Detection[];
  with: Detection[];
}

const config = smallModels['tiny-ae-v1'];
const perHead = config.points.reduce((a, b) => a + b, 0);

describe('a look inside a detector', () => {
  it('shows the background and the places looked at; without the encoder it is the plain detector', async () => {
    const reply = await page.call<Reply>('inspect', { config });
    const [height, width] = config.size.map((side) => side / 32);
    expect(reply.background).toMatchObject({ height, width, channels: config.associationEncoder!.dim });
    expect(reply.background!.values).toHaveLength(height * width * config.associationEncoder!.dim);
    expect(Math.min(...reply.background!.values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...reply.background!.values)).toBeGreaterThan(0);
    expect(reply.points).toHaveLength(config.queries);
    for (const points of reply.points) {
      expect(points).toHaveLength(config.heads * perHead);
      for (let head = 0; head < config.heads; head++) {
        const sum = points.filter((point) => point.head === head).reduce((total, { weight }) => total + weight, 0);
        expect(sum).toBeCloseTo(1, 12);
      }
    }
    expect(new Set(reply.points[0].map(({ x, y }) => `${x} ${y}`)).size).toBeGreaterThan(1);
    expect(reply.without).toEqual(reply.never);
    expect(reply.without).not.toEqual(reply.with);
  });

  it('has no background where the model has none', async () => {
    const reply = await page.call<Reply>('inspect', { config: { ...config, associationEncoder: null } });
    expect(reply.background).toBeNull();
    expect(reply.without).toEqual(reply.with);
  });
});

describe('sampling points', () => {
  it('follow box, offsets and logits', () => {
    const small = { ...config, heads: 2, points: [1, 2, 1], decoderLayers: 2, evalLayer: -1 };
    const stage = 'stage/decoder.layers.1';
    const outputs = new Map([
      [`${stage}.ref_points_in`, Float32Array.of(0, 0, 0, 0, 0.5, 0.25, 0.5, 0.125)],
      // Second query; head 0 points 0..3, head 1 points 0..3.
      [`${stage}.cross_attn.sampling_offsets`, Float32Array.from({ length: 32 }, (_, i) => (i < 16 ? 0 : (i - 16) / 4 - 2))],
      [`${stage}.cross_attn.attention_weights`, Float32Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, Math.log(5), 0, 0, 0)],
    ]);
    const points = new Inspection(small, new Graph(), outputs).samplingPoints(1);
    expect(points.map(({ head, level }) => [head, level])).toEqual([0, 1].flatMap((head) => [0, 1, 1, 2].map((level) => [head, level])));
    // Point 1 of head 0: offset (-1.5, -1.25), one of two points of its level: a quarter of the box.
    expect(points[1].x).toBeCloseTo(0.5 - 1.5 * 0.5 * 0.25, 6);
    expect(points[1].y).toBeCloseTo(0.25 - 1.25 * 0.125 * 0.25, 6);
    // Point 0 of head 1: offset (0, 0.25), the only one of its level: half of the box.
    expect([points[4].x, points[4].y]).toEqual([0.5, 0.25 + 0.25 * 0.125 * 0.5]);
    expect(points.slice(0, 4).map(({ weight }) => weight)).toEqual([0.25, 0.25, 0.25, 0.25]);
    expect(points[4].weight).toBeCloseTo(5 / 8, 6);
  });
});

describe('maps of the background', () => {
  const map: BackgroundMap = { height: 1, width: 2, channels: 4, values: Float32Array.of(1, 2, 3, 4, 0, 0, 8, 0) };

  it('are means over all channels or over a group', () => {
    expect([...backgroundEnergy(map)]).toEqual([2.5, 2]);
    expect([...backgroundEnergy(map, 1, 2)]).toEqual([3.5, 4]);
  });

  it('of a class are its head at each place', () => {
    const weight = Float32Array.of(9, 9, 9, 9, 1, 0, -1, 0);
    expect([...classHeatmap(map, weight, 1)]).toEqual([0, 0]);
    expect([...classHeatmap(map, weight, 0)]).toEqual([45, 36]);
  });
});
