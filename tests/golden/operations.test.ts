/** Every operation of the ops-* files and its gradients against PyTorch's float64 values. */
import { describe, expect, test } from 'vitest';
import { page } from '../setup/gpu.ts';
import { failures, goldenFiles, readFixture, readHeader, verify } from './gpu-golden.ts';

/** Whole modules with training batch norms: they come with training, and this list then goes. */
const later = /^(bam_train|bam_odd_train|bam_own_train|bam_rfrf_train|bam_short_conv_train|ae_residual_train|ae_mask_own_train)$/;

for (const file of goldenFiles('ops-')) {
  const bytes = readFixture(file);
  const cases: { name: string; op: string; grads: string[] }[] = JSON.parse(readHeader(bytes).metadata.cases);

  describe(file.replace('.safetensors', ''), () => {
    test('all cases are listed', async () => {
      expect(await page.call('verify-cases', { name: file, file: { bytes } })).toEqual(cases.map(({ name }) => name));
    });

    test.for(cases)('$name ($op)', async ({ name, grads }, { skip }) => {
      const reports = await verify(file, bytes, [name]);
      if (later.test(name)) {
        expect(reports).toEqual([expect.objectContaining({ status: 'later', tensors: [] })]);
        skip(reports[0].reason);
      }
      expect(reports.flatMap(failures)).toEqual([]);
      expect(reports.map((report) => report.name)).toEqual([name, ...(grads.length > 0 ? [`${name}/grad`] : [])]);
      expect(reports[1]?.tensors.map((tensor) => tensor.name) ?? []).toEqual(grads);
    });
  });
}
