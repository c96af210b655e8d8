import { describe, expect, it } from 'vitest';
import type { VerifyAnswer, VerifyRequest } from '../../src/host/page-verify.ts';
import { readFixture, readHeader } from '../golden/gpu-golden.ts';
import { smallModels } from '../models/small-models.ts';
import { page } from '../setup/gpu.ts';
import { formulaFile } from '../weights-tools/formula-file.ts';

const name = 'eval-tiny-v1.safetensors';
const golden = readFixture(name);
const { seed, overrides = [] } = JSON.parse(readHeader(golden).metadata.info);

/** Verifies with weights from a file, whose address is the file itself. */
async function verify(weights: Uint8Array): Promise<string[]> {
  const url = `data:application/octet-stream;base64,${Buffer.from(weights).toString('base64')}`;
  const request: VerifyRequest = { name, file: { bytes: golden }, photo: null, weights: { url, name: 'tiny.pth' } };
  return (await page.call<VerifyAnswer>('verify', request)).report.cases.map(({ status }) => status);
}

describe('verifying a checkpoint', () => {
  it("passes where the file holds the golden file's weights", async () => {
    expect(await verify(await formulaFile(smallModels['tiny-v1'], { seed, overrides }))).toEqual(['pass', 'pass']);
  });

  it('fails where it holds others', async () => {
    expect(await verify(await formulaFile(smallModels['tiny-v1'], { seed: 'other' }))).toEqual(['fail', 'fail']);
  });
});
