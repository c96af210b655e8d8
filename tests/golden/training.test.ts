/** Training steps against PyTorch: outputs, losses, matching, every gradient and statistic; then twenty steps of the optimizer. */
import { describe, expect, test } from 'vitest';
import { failures, goldenFiles, readFixture, readHeader, verify } from './gpu-golden.ts';

describe.each(goldenFiles('train-'))('%s', (file) => {
  test('outputs, losses, gradients and statistics', async () => {
    const bytes = readFixture(file);
    const reports = await verify(file, bytes);
    expect(reports.flatMap(failures)).toEqual([]);
    const statistics = file.includes('frozen-') && !file.includes('bbfrozen') ? [] : ['statistics'];
    expect(reports.map(({ name, status }) => `${name} ${status}`)).toEqual(
      ['outputs', 'losses', 'gradients', ...statistics].map((name) => `${name} pass`),
    );
    const { grad_err } = JSON.parse(readHeader(bytes).metadata.info);
    expect(reports[2].tensors.map(({ name }) => name)).toEqual(['none_grads', ...Object.keys(grad_err), 'all parameters']);
  });
});

/** Steps that PyTorch's float32 runs, too, have in common with its float64 run (src/verification/README.md). */
const PARTING: Readonly<Record<string, number>> = {
  'tiny-v1-bbfrozen-A': 6,
  'tiny-v1-bntrain-A': 3,
  'odd-v2-bbfrozen-B': 9,
  'tiny-ae-v1-bbfrozen-A': 7,
};

describe.each(goldenFiles('steps-'))('%s', (file) => {
  const parting = PARTING[file.replace(/^steps-|\.safetensors$/g, '')];

  test('losses and rates of the comparable steps, and how far all has moved where twenty are', async () => {
    const reports = await verify(file, readFixture(file));
    expect(reports.flatMap(failures)).toEqual([]);
    expect(reports.map(({ name, status }) => `${name} ${status}`)).toEqual(
      parting === undefined ? ['losses pass', 'parameters pass', 'average pass'] : ['losses pass'],
    );
    expect(reports[0].tensors.filter(({ name }) => name.startsWith('loss['))).toHaveLength(parting ?? 20);
  });
});
