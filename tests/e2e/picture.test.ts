/** A picture and a training checkpoint in, PyTorch's boxes out: every step of "backdrop detect" on RT-DETR-R18 at 640. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deflateSync } from 'node:zlib';
import { afterAll, expect, it } from 'vitest';
import { openSafetensors } from '../../src/checkpoints/safetensors.ts';
import { cocoClasses } from '../../src/detector/coco.ts';
import { type Detection, postprocess } from '../../src/detector/postprocess.ts';
import { root } from '../../src/host/wgsl-plugin.mjs';
import { formulaImage } from '../../src/verification/formula.ts';
import { crc32 } from '../../weights-tools/crc32.ts';
import { readFixture } from '../golden/gpu-golden.ts';
import { formulaFile } from '../weights-tools/formula-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'backdrop-e2e-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** An RGB picture of planes [3, side, side] as a PNG file. */
function png(planes: Uint8Array, side: number): Uint8Array {
  const chunk = (type: string, data: Uint8Array): Uint8Array => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const ends = Buffer.alloc(8);
    ends.writeUInt32BE(data.length, 0);
    ends.writeUInt32BE(crc32(body), 4);
    return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  // 8 bits, RGB.
  header.set([8, 2], 8);
  const rows = Buffer.alloc(side * (1 + 3 * side));
  for (let y = 0; y < side; y++) {
    for (let i = 0; i < 3 * side; i++) rows[y * (1 + 3 * side) + 1 + i] = planes[(i % 3) * side * side + y * side + Math.floor(i / 3)];
  }
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const parts = [chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND', new Uint8Array(0))];
  return Buffer.concat([signature, ...parts]);
}

/** What PyTorch's outputs mean as boxes. */
async function expectedBoxes(): Promise<{ seed: string; image: string; overrides: [string, string][]; detections: Detection[] }> {
  const golden = await openSafetensors(readFixture('full-rtdetr_r18vd-formula.safetensors'));
  const { seed, image_key, overrides } = JSON.parse(golden.metadata.get('info')!);
  const [logits, boxes] = [await golden.readFloat32('pred_logits.f64'), await golden.readFloat32('pred_boxes.f64')];
  const options = { classes: 80, labels: cocoClasses, width: 640, height: 640, threshold: 0, maxResults: 300 };
  return { seed, image: image_key, overrides, detections: postprocess(logits, boxes, options) };
}

it("gives PyTorch's boxes", async () => {
  const { seed, image, overrides, detections: expected } = await expectedBoxes();
  const [picture, weights] = [join(folder, 'picture.png'), join(folder, 'r18.pth')];
  writeFileSync(picture, png(formulaImage(image, 640, 640), 640));
  writeFileSync(weights, await formulaFile('rtdetr-r18', { seed, overrides }));
  const command = [join(root, 'src/host/backdrop.mjs'), 'detect', picture, '--weights', weights, '--threshold', '0', '--json'];
  const { stdout, stderr, status } = spawnSync(process.execPath, command, { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  const { detections }: { detections: Detection[] } = JSON.parse(stdout.trim().split('\n').at(-1)!);
  expect(detections).toHaveLength(expected.length);
  // Near-equal scores may change places, and the last ones may be others: each of PyTorch's boxes above the last score must be there.
  const far = (a: Detection, b: Detection): number => {
    const edges = (['xmin', 'ymin', 'xmax', 'ymax'] as const).map((edge) => Math.abs(a.box[edge] - b.box[edge]) / 640);
    return a.label === b.label ? Math.max(Math.abs(a.score - b.score), ...edges) : 1;
  };
  // 2e-5 is the gate of the golden files for normalised boxes; scores move less than logits, whose gate is 2e-4, divided by 4.
  const last = expected.at(-1)!.score + 5e-5;
  const missing = expected.filter((one) => one.score > last && !detections.some((other) => far(one, other) < 5e-5));
  expect(missing).toEqual([]);
});
