/** Every operation of the ops-* files and its gradients against PyTorch's float64 values. */
import { describe, expect, test } from 'vitest';
import { page } from '../setup/gpu.ts';
import { failures, goldenFiles, hasSubgroups, readFixture, readHeader, verify } from './gpu-golden.ts';

for (const file of goldenFiles('ops-')) {
  const bytes = readFixture(file);
  const cases: { name: string; op: string; grads: string[] }[] = JSON.parse(readHeader(bytes).metadata.cases);

  describe(file.replace('.safetensors', ''), () => {
    test('all cases are listed', async () => {
      expect(await page.call('verify-cases', { name: file, file: { bytes } })).toEqual(cases.map(({ name }) => name));
    });

    test.for(cases)('$name ($op)', async ({ name, grads }) => {
      const reports = await verify(file, bytes, [name]);
      expect(reports.flatMap(failures)).toEqual([]);
      expect(reports.map((report) => report.name)).toEqual([name, ...(grads.length > 0 ? [`${name}/grad`] : [])]);
      expect(reports[1]?.tensors.map((tensor) => tensor.name) ?? []).toEqual(grads);
    });
  });
}

describe('kernels that this adapter would not choose', () => {
  const chosen: [file: string, operation: string, variant: string][] = [
    ...['direct', 'registers', 'subgroup', 'workgroup'].flatMap((v): [string, string, string][] => [
      ['ops-conv', 'gemm', v],
      ['ops-matmul', 'gemm', v],
    ]),
    ...['scalar', 'rows', 'workgroup'].map((v): [string, string, string] => ['ops-norm', 'norm', v]),
    ...['scalar', 'quads', 'workgroup'].map((v): [string, string, string] => ['ops-attn', 'attention', v]),
    ['ops-sample', 'deformable', 'scalar'],
  ];
  test.for(chosen)('%s with %s = %s', async ([name, operation, variant], { skip }) => {
    if (/subgroup|quads/.test(variant) && !(await hasSubgroups())) skip('this adapter has no subgroups');
    const file = `${name}.safetensors`;
    const reports = await verify(file, readFixture(file), undefined, { [operation]: variant });
    expect(reports.flatMap((report) => failures(report).map((line) => `${report.name}/${line}`))).toEqual([]);
    expect(new Set(reports.map(({ status }) => status))).toEqual(new Set(['pass']));
  });
});
