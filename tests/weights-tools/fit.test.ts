import { describe, expect, it } from 'vitest';
import { type ExpectedTensors, openSafetensors, writeSafetensors } from '../../src/checkpoints/index.ts';
import { fitCheckpoint } from '../../weights-tools/fit.ts';
import { mapSource } from '../../weights-tools/mapped.ts';
import { fromHuggingFace, toHuggingFace } from '../../weights-tools/names/hugging-face.ts';
import { collect, errorOf, modelKeys, sha256, sourceOf } from '../checkpoints/fixtures.ts';

const file = (model: string) => sourceOf(modelKeys(model));
const without = (keys: ExpectedTensors, pattern: RegExp) => new Map([...keys].filter(([name]) => !pattern.test(name)));

/** The same model with another number of classes. */
function withClasses(keys: ExpectedTensors, classes: number): Map<string, readonly number[]> {
  const from = keys.get('decoder.enc_score_head.weight')![0]!;
  return new Map(
    [...keys].map(([name, shape]) =>
      /score_head|denoising/.test(name) ? [name, [shape[0]! - from + classes, ...shape.slice(1)]] : [name, shape],
    ),
  );
}

describe('fitting', () => {
  it.each(['rtdetr_r18vd', 'rtdetrv2_r50vd', 'association_detr_r34', 'detr-r50', 'deformable-detr-r50-refine-twostage-ae', 'tiny-v1'])(
    '%s fits itself',
    (model) => {
      const { source, report } = fitCheckpoint(file(model), modelKeys(model));
      expect(report.loaded).toEqual([...modelKeys(model).keys()]);
      expect([report.missing, report.unexpected, report.misshaped, report.ignored, report.reinitialised, report.added]).toEqual([
        [],
        [],
        [],
        [],
        [],
        [],
      ]);
      expect(source.tensors.size).toBe(report.loaded.length);
      expect(report.messages).toHaveLength(1);
    },
  );

  it('v1 weights in a v2 model and the other way', async () => {
    const up = fitCheckpoint(file('rtdetr_r18vd'), modelKeys('rtdetrv2_r18vd'));
    expect(up.report.ignored.every((name) => /anchors|valid_mask|num_points_scale/.test(name))).toBe(true);
    expect(up.report.ignored).toHaveLength(5);
    expect(await up.source.readBytes('decoder.enc_output.proj.weight')).toEqual(
      await file('rtdetr_r18vd').readBytes('decoder.enc_output.0.weight'),
    );
    const down = fitCheckpoint(file('rtdetrv2_r18vd'), modelKeys('rtdetr_r18vd'));
    expect(down.report.loaded).toHaveLength(533);
    expect(down.report.unexpected).toEqual([]);
  });

  it("v2's anchors for another image size are left to be computed", () => {
    const expected = new Map(modelKeys('rtdetrv2_r18vd'));
    expected.set('decoder.anchors', [1, 2100, 4]);
    expect(fitCheckpoint(file('rtdetrv2_r18vd'), expected).report.ignored).toEqual(['decoder.anchors']);
  });

  it('num_batches_tracked may be missing or too many', () => {
    const counter = /num_batches_tracked/;
    const bare = without(modelKeys('rtdetr_r18vd'), counter);
    expect(fitCheckpoint(sourceOf(bare), modelKeys('rtdetr_r18vd')).report.missing).toEqual([]);
    const more = fitCheckpoint(file('rtdetr_r18vd'), bare);
    expect(more.report.unexpected).toEqual([]);
    expect(more.report.ignored.every((name) => counter.test(name))).toBe(true);
  });

  it('a Hugging Face file fits, with tied heads once or twice', async () => {
    const official = file('rtdetrv2_r18vd');
    const hugging = mapSource(official, toHuggingFace(official, 2).mapping);
    const { source, report } = fitCheckpoint(hugging, modelKeys('rtdetrv2_r18vd'));
    expect([report.missing, report.unexpected]).toEqual([[], []]);
    const name = 'encoder.encoder.0.layers.0.self_attn.in_proj_weight';
    expect(sha256(await source.readBytes(name))).toBe(sha256(await official.readBytes(name)));
    expect(fromHuggingFace(hugging).mapping.get(name)).toHaveLength(3);
  });

  it('another number of classes: heads are initialised anew, and the user is told', () => {
    const expected = withClasses(modelKeys('rtdetr_r18vd'), 3);
    const { source, report } = fitCheckpoint(file('rtdetr_r18vd'), expected);
    expect(report.messages).toContain('80 → 3 classes: decoder.*.score_head re-initialised');
    expect(report.reinitialised).toEqual([...expected.keys()].filter((name) => /score_head|denoising_class_embed/.test(name)));
    expect(report.reinitialised.some((name) => source.tensors.has(name))).toBe(false);
    expect(report.loaded.length + report.reinitialised.length).toBe(expected.size);
  });

  it('the heads of DETR and Deformable-DETR too', () => {
    for (const model of ['detr-r50', 'deformable-detr-r50-refine-twostage']) {
      const expected = new Map(
        [...modelKeys(model)].map(([name, shape]) => (/class_embed/.test(name) ? [name, [4, ...shape.slice(1)]] : [name, shape])),
      );
      const { messages, misshaped } = fitCheckpoint(file(model), expected).report;
      expect(misshaped).toEqual([]);
      expect(messages.some((message) => /→ 4 classes: class_embed re-initialised/.test(message))).toBe(true);
    }
  });

  it('an RT-DETR takes an Association Encoder on', () => {
    const expected = new Map([...modelKeys('association_detr_r34'), ['association_encoder.gate', [1]] as const]);
    const { report } = fitCheckpoint(file('rtdetr_r34vd'), expected);
    expect(report.loaded).toHaveLength(modelKeys('rtdetr_r34vd').size);
    expect(report.added.every((name) => name.startsWith('association_encoder.'))).toBe(true);
    expect(report.added).toContain('association_encoder.gate');
    expect(report.messages.join('\n')).toContain('Association Encoder added: 53 tensors initialised, gate zero');
  });

  it('a gate is added to an Association Encoder without one', () => {
    const expected = new Map([...modelKeys('association_detr_r34'), ['association_encoder.gate', [1]] as const]);
    expect(fitCheckpoint(file('association_detr_r34'), expected).report.added).toEqual(['association_encoder.gate']);
  });

  it('tied heads count under any of their names', () => {
    const model = 'deformable-detr-r50-refine';
    const once = sourceOf(without(modelKeys(model), /^bbox_embed/));
    const { source, report } = fitCheckpoint(once, modelKeys(model));
    expect(report.missing).toEqual([]);
    expect(source.tensors.get('bbox_embed.3.layers.0.weight')!.shape).toEqual([256, 256]);
    const first = sourceOf(without(modelKeys('deformable-detr-r50'), /(?:class|bbox)_embed\.[1-9]/));
    expect(fitCheckpoint(first, modelKeys('deformable-detr-r50')).report.missing).toEqual([]);
  });

  it('a backbone loads alone, a background module too', () => {
    const backbone = [...modelKeys('rtdetr_r18vd')].filter(([name]) => name.startsWith('backbone.'));
    const { report } = fitCheckpoint(sourceOf(backbone.map(([name, shape]) => [name.slice(9), shape])), modelKeys('rtdetr_r18vd'));
    expect(report.loaded).toHaveLength(backbone.length);
    const bam = [...modelKeys('association_detr_r34')]
      .filter(([name]) => name.startsWith('association_encoder.bam.'))
      .map(([name, shape]) => [name.slice(20), shape] as const);
    const file = sourceOf([...bam, ['proj.conv.weight', [256, 128, 1, 1]], ['head.weight', [8, 256]]]);
    expect(fitCheckpoint(file, modelKeys('association_detr_r34')).report.loaded).toHaveLength(bam.length);
    const both = fitCheckpoint(file, modelKeys('association_detr_r34'), { projection: true }).report;
    expect(both.loaded).toContain('encoder.input_proj.0.0.weight');
    expect(both.unexpected).toEqual(['head.weight']);
  });

  it('values come through a real file', async () => {
    const keys = modelKeys('tiny-v1');
    const source = sourceOf(keys);
    const tensors = [];
    for (const info of source.tensors.values()) tensors.push({ ...info, data: await source.readBytes(info.name) });
    const opened = await openSafetensors(await collect(writeSafetensors(tensors)));
    const fit = fitCheckpoint(opened, keys);
    for (const name of keys.keys()) expect(sha256(await fit.source.readBytes(name))).toBe(sha256(await source.readBytes(name)));
  });
});

describe('what does not fit', () => {
  const attempt = (model: string, expected: ExpectedTensors) => errorOf(() => fitCheckpoint(file(model), expected, { fileName: 'w.pth' }));
  it('another family', async () => {
    const error = await attempt('detr-r50', modelKeys('rtdetr_r18vd'));
    expect(error.code).toBe('E_CKPT_ARCH');
    expect(error.message).toBe('w.pth holds DETR, ResNet-50; the model is of the family rt-detr');
    expect((await attempt('rtdetr_r18vd', modelKeys('deformable-detr-r50'))).message).toContain('RT-DETR v1, ResNet-18');
  });
  it('another depth: names the model it fits and the first differences', async () => {
    const error = await attempt('rtdetr_r50vd', modelKeys('rtdetr_r18vd'));
    expect(error.code).toBe('E_CKPT_SHAPE');
    expect(error.message).toContain('[256, 64, 1, 1] instead of [64, 64, 1, 1]');
    expect(error.hint).toContain('rtdetr_r50vd');
    expect(error.details.misshaped).toHaveLength(5);
  });
  it('missing tensors', async () => {
    const keys = modelKeys('rtdetr_r18vd');
    // Nine convolutions with norms of four values each; counters do not count.
    const some = without(keys, /encoder\.pan_blocks\.1/);
    const error = await errorOf(() => fitCheckpoint(sourceOf(some), keys));
    expect(error.code).toBe('E_CKPT_ARCH');
    expect(error.message).toMatch(/45 tensors are missing: .* and 40 more/);
    const { report } = fitCheckpoint(sourceOf(some), keys, { partial: true });
    expect(report.missing).toHaveLength(45);
    expect(report.messages.at(-1)).toContain('missing:');
  });
  it('nothing at all', async () => {
    expect((await errorOf(() => fitCheckpoint(sourceOf([['x', [1]]]), modelKeys('tiny-v1')))).message).toContain(
      'none of its tensors fits',
    );
    expect((await errorOf(() => fitCheckpoint(sourceOf([]), modelKeys('tiny-v1')))).code).toBe('E_CKPT_ARCH');
  });
});
