import { describe, expect, it } from 'vitest';
import { convertCheckpoint } from '../../weights-tools/convert.ts';
import { openCheckpoint } from '../../weights-tools/open.ts';
import { collect } from '../checkpoints/fixtures.ts';
import { smallModels } from '../models/small-models.ts';
import { page } from '../setup/gpu.ts';
import type { DetectWithReply } from './detector.page.ts';
import { formulaFile } from './formula-file.ts';

const { 'tiny-v1': tiny, 'tiny-ae-v1': encoder } = smallModels;
const detect = (file: Uint8Array, model: unknown) => page.call<DetectWithReply>('detect with file', { file, model });

describe('a detector', () => {
  it('finds the same in a training checkpoint, in its safetensors and in its Hugging Face form', async () => {
    const file = await formulaFile(tiny);
    const base = await detect(file, tiny);
    expect(base.detections.length).toBeGreaterThan(100);
    for (const options of [
      { format: 'safetensors' },
      { format: 'safetensors', names: 'hugging-face' },
      { format: 'pth', layout: 'bare' },
    ] as const) {
      const other = await collect(convertCheckpoint(await openCheckpoint(file), options).chunks);
      expect((await detect(other, tiny)).detections).toEqual(base.detections);
    }
  });

  it('that gets an Association Encoder finds at first what it found without, to the last bit', async () => {
    const file = await formulaFile(tiny);
    const added = { ...encoder, associationEncoder: { ...encoder.associationEncoder!, gate: 'scalar' as const } };
    const [without, with_] = [await detect(file, tiny), await detect(file, added)];
    expect(with_.messages.join()).toContain('Association Encoder added');
    expect(with_.detections).toEqual(without.detections);
  });
});
