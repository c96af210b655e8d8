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

describe.each(goldenFiles('steps-'))('%s', (file) => {
  test('losses and rates of twenty steps, and how far all has moved', async () => {
    const reports = await verify(file, readFixture(file));
    expect(reports.flatMap(failures)).toEqual([]);
    expect(reports.map(({ name, status }) => `${name} ${status}`)).toEqual(['losses pass', 'parameters pass', 'average pass']);
    expect(reports[0].tensors.filter(({ name }) => name.startsWith('loss['))).toHaveLength(20);
  });
});
