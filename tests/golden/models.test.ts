/**
 * Whole models against PyTorch: small ones on two images, and published ones at 640x640. Each file twice: with all recorded
 * stages made outputs, and as detection runs it.
 */
import { describe, expect, test } from 'vitest';
import type { CaseReport } from '../../src/verification/report.ts';
import { failures, goldenFiles, readFixture, readHeader, verify } from './gpu-golden.ts';

/** Seconds to minutes each on a software adapter; `npm run test:full` runs them all. */
const always = new Set(['full-rtdetr_r18vd-formula.safetensors', 'full-association_detr_r34-formula.safetensors']);
const files = [...goldenFiles('eval-'), ...goldenFiles('full-').filter((file) => always.has(file) || process.env.BACKDROP_FULL)];

for (const file of files) {
  describe(file.replace('.safetensors', ''), { timeout: 600_000 }, () => {
    const bytes = readFixture(file);
    let answer: Promise<readonly CaseReport[]> | undefined;
    const report = async (name: string) => {
      answer ??= verify(file, bytes);
      const found = (await answer).find((c) => c.name === name);
      if (!found) throw new Error(`no report ${name}`);
      return found;
    };

    test('every stage and output', async () => {
      const stages = await report('stages');
      expect(failures(stages)).toEqual([]);
      const recorded = Object.keys(readHeader(bytes).tensors).filter((name) => /^stage\/.*\.val(64)?$/.test(name));
      expect(stages.tensors.map(({ name }) => name)).toEqual(
        expect.arrayContaining(recorded.map((n) => n.replace(/^stage\/|\.val(64)?$/g, ''))),
      );
    });

    test('outputs as detection runs it', async () => {
      const deployed = await report('deployed');
      expect(failures(deployed)).toEqual([]);
      expect(deployed.tensors.map(({ name }) => name)).toEqual(expect.arrayContaining(['pred_logits', 'pred_boxes']));
    });
  });
}
