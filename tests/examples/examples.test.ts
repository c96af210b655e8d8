/** The README's examples: word for word what stands there, and what they give. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../../src/host/wgsl-plugin.mjs';
import type { NamedArrays, TrainingState } from '../../src/training/state.ts';
import { smallModels } from '../models/small-models.ts';
import { page } from '../setup/gpu.ts';
import { differences } from '../setup/gpu-gradients.ts';
import { random } from '../setup/random.ts';
import { cocoFiles, scenePictures } from '../training/scene-pictures.ts';
import { tinyNano } from '../training/tiny-nano.ts';
import type { ClassifierExample, DetectorExample, FolderAnswer, FolderExample } from './examples.page.ts';

it.each([
  ['README.md', 'train-detector'],
  ['src/training/README.md', 'train-anything'],
  ['src/training/README.md', 'train-folder'],
])('%s shows %s', (file, example) => {
  const code = readFileSync(join(root, `tests/examples/${example}.ts`), 'utf8');
  expect(readFileSync(join(root, file), 'utf8')).toContain(`\`\`\`ts\n${code}\`\`\`\n`);
});

it('a detector is trained: one report a step, parameters and average under their names', async () => {
  const r = random(3);
  const model = smallModels['tiny-v1'];
  const batches = Array.from({ length: 2 }, () => ({
    image: r.array(128 * 128 * 3, 0.5).map((v) => v + 0.5),
    targets: [{ boxes: [0.4, 0.5, 0.3, 0.2], labels: [2] }],
  }));
  const given: DetectorExample = { model, batches };
  const { losses, parameters, average } = await page.call<{ losses: number[]; parameters: NamedArrays; average: NamedArrays }>(
    'example detector',
    given,
  );
  expect(losses).toHaveLength(2);
  for (const loss of losses) expect(loss).toBeGreaterThan(1);
  expect(parameters['backbone.conv1.conv1_1.conv.weight']).toHaveLength(4 * 27);
  expect(Object.keys(average)).toEqual(Object.keys(parameters));
});

describe('a folder of the page', () => {
  const settings: FolderExample['settings'] = {
    modelConfig: { ...tinyNano },
    ...{ epochs: 2, batch: 2, size: [64, 64], lr: 1e-3, schedule: 'constant', augment: 'flip', seed: 3 },
  };
  const gone = () => page.call('example folder gone');
  const run = (given: FolderExample) => page.call<FolderAnswer>('example folder', given);
  let files: FolderExample['files'];
  beforeAll(async () => {
    await gone();
    files = cocoFiles(await scenePictures({ seed: 3, train: 8, validation: 3, side: 64, objects: 2, kinds: ['car', 'bird', 'sheep'] }));
  });
  afterAll(gone);

  it('is trained on, stopped, and gone on with', async () => {
    // A step is told of when the next one has begun, and that one is finished.
    const first = await run({ files, settings, steps: 2 });
    expect(first.reason).toBe('stopped');
    expect(Object.keys(first.files).sort()).toEqual(['last.safetensors', 'last.train.safetensors']);
    const second = await run({ files: {}, settings });
    expect(second.reason).toBe('finished');
    expect(second.ready).toMatchObject([{ steps: 3, epoch: 0, batch: 3 }]);
    expect(second.ap).toHaveLength(2);
    expect(second.files['best.safetensors']).toBe(second.files['last.safetensors']);
  });

  it('that has changed is not gone on with', async () => {
    const labels = JSON.parse(new TextDecoder().decode(files['train.json'])) as { annotations: unknown[] };
    labels.annotations.pop();
    const changed = new TextEncoder().encode(JSON.stringify(labels));
    await expect(run({ files: { 'train.json': changed }, settings })).rejects.toMatchObject({ code: 'E_RUN_MISMATCH' });
  });
});

const [SIZE, HALF, CHANNELS, CLASSES] = [16, 8, 8, 3];

/** The classifier's loss in float64, of its parameters in the order of its state dictionary. */
function reference(images: Float32Array, labels: readonly number[]) {
  return ([weight, gamma, beta, head, bias]: readonly Float64Array[]): number[][] => {
    const maps = labels.map((_, n) => convolve(images, n, weight));
    const statistics = Array.from({ length: CHANNELS }, (_, c) => {
      const all = maps.flatMap((map) => Array.from({ length: HALF * HALF }, (_, i) => map[i * CHANNELS + c]));
      const mean = all.reduce((a, b) => a + b) / all.length;
      return { mean, deviation: Math.sqrt(all.reduce((sum, v) => sum + (v - mean) ** 2, 0) / all.length + 1e-5) };
    });
    const total = labels.reduce((sum, label, n) => {
      const features = statistics.map(({ mean, deviation }, c) => {
        let features = 0;
        for (let i = 0; i < HALF * HALF; i++) {
          const v = ((maps[n][i * CHANNELS + c] - mean) / deviation) * gamma[c] + beta[c];
          features += v / (1 + Math.abs(v)) / (HALF * HALF);
        }
        return features;
      });
      features.reverse();
      const logits = Array.from({ length: CLASSES }, (_, k) => bias[k] + features.reduce((s, f, c) => s + f * head[k * CHANNELS + c], 0));
      return sum + Math.log(logits.reduce((s, v) => s + Math.exp(v), 0)) - logits[label];
    }, 0);
    return [[total / labels.length]];
  };
}

/** 3x3, stride 2, padding 1. */
function convolve(images: Float32Array, n: number, weight: Float64Array): Float64Array {
  const out = new Float64Array(HALF * HALF * CHANNELS);
  for (let i = 0; i < out.length; i++) {
    const [y, x, o] = [Math.floor(i / CHANNELS / HALF), Math.floor(i / CHANNELS) % HALF, i % CHANNELS];
    for (let t = 0; t < 27; t++) {
      const [channel, u, v] = [Math.floor(t / 9), 2 * y + (Math.floor(t / 3) % 3) - 1, 2 * x + (t % 3) - 1];
      if (u >= 0 && u < SIZE && v >= 0 && v < SIZE) out[i] += weight[o * 27 + t] * images[((n * SIZE + u) * SIZE + v) * 3 + channel];
    }
  }
  return out;
}

describe('any other model, with operations of its own', () => {
  const labels = [0, 1, 2, 1];
  const images = random(5).array(labels.length * SIZE * SIZE * 3);
  const run = (steps: number) => {
    const given: ClassifierExample = { images, labels, steps };
    return page.call<{ history: number[]; state: TrainingState }>('example classifier', given);
  };
  const names = ['conv.conv.weight', 'conv.norm.weight', 'conv.norm.bias', 'head.weight', 'head.bias'];

  it('has the loss and the gradients of float64', async () => {
    const { history, state } = await run(1);
    const { state: start } = await run(0);
    const forward = reference(images, labels);
    const inputs = names.map((name) => Float64Array.from(start.parameters[name]));
    expect(Math.abs(history[0] / forward(inputs)[0][0] - 1)).toBeLessThan(1e-6);
    expect(Object.keys(state.firstMoments)).toEqual(names);
    names.forEach((name, at) => {
      const expected = differences(forward, inputs, [[1]], at, 1e-4);
      const largest = Math.max(...expected.map(Math.abs));
      expected.forEach((value, i) => {
        // After one step the first moment is a tenth of the gradient; a chain of ten float32 operations rounds it.
        expect(Math.abs(10 * state.firstMoments[name][i] - value), `${name} ${i}`).toBeLessThan(1e-5 * largest);
      });
    });
  });

  it('learns, and moves the running statistics', async () => {
    const { history, state } = await run(60);
    expect(history[59]).toBeLessThan(history[0] / 2);
    expect(state.parameters['conv.norm.running_mean'].every((v) => v !== 0)).toBe(true);
    expect([state.steps, state.updates]).toEqual([60, 60]);
  });
});
