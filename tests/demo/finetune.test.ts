/** Fine-tuning in a real Chrome: labelled pictures in, training that outlives its tab, weights out and in use. */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSafetensors } from '../../src/checkpoints/index.ts';
import { Demo, samples, type Tab } from './gpu-demo.ts';

let demo: Demo;
let tab: Tab;
const status = '#panel-finetune [role=status]';

beforeAll(async () => {
  demo = await Demo.start();
  tab = await open();
});
afterAll(() => demo?.close());

async function open(): Promise<Tab> {
  const made = await demo.tab();
  await demo.ready(made);
  await made.panel('finetune');
  await made.page.waitForSelector('#tune-epochs');
  return made;
}

const labels = JSON.parse(readFileSync(join(samples, 'test.json'), 'utf8')) as { images: { file_name: string }[] };

/** Picks a folder of the sample scenes with labels beside them. */
async function choose(name: string, content: unknown): Promise<void> {
  const folder = join(demo.folder, name);
  mkdirSync(folder, { recursive: true });
  for (const { file_name: picture } of labels.images) copyFileSync(join(samples, picture), join(folder, picture));
  if (content) writeFileSync(join(folder, 'labels.json'), JSON.stringify(content));
  await tab.upload('#tune-folder', folder);
}

it('says what is wrong with a folder that cannot be trained on', async () => {
  await choose('unlabelled', null);
  await tab.trouble(/no labels of a known format/);
  expect(await tab.text(status)).toMatch(/not finished/);
  await choose('others', { ...labels, images: [{ id: 1, file_name: 'elsewhere.jpg', width: 9, height: 9 }], annotations: [] });
  await tab.trouble(/./);
  expect(await tab.text('#panel-finetune')).toContain('No pictures yet');
});

it('says so when the browser has no room', async () => {
  await tab.page
    .workers()
    .at(-1)!
    .evaluate(() => {
      const { prototype } = FileSystemFileHandle;
      const { createWritable } = prototype;
      prototype.createWritable = async () => {
        prototype.createWritable = createWritable;
        throw new DOMException('full', 'QuotaExceededError');
      };
    });
  await choose('scenes', labels);
  await tab.trouble(/The browser has no room for this[\s\S]*Delete stored models/);
});

it('copies pictures and labels, and says what they are', async () => {
  await choose('scenes', labels);
  await tab.until('#panel-finetune', /coco: 6 pictures to train on, 2 to validate with; \d+ classes/);
});

it('trains, and asks before its tab is closed', async () => {
  await tab.set('#tune-epochs', '8');
  await tab.set('#tune-size', '64');
  await tab.set('#tune-batch', '2');
  await tab.press('Start', '#panel-finetune');
  await tab.until(status, /Epoch 1 of 8, step \d of 3, loss \d/, 280_000);
  const asks = await tab.page.evaluate(() => !dispatchEvent(new Event('beforeunload', { cancelable: true })));
  expect(asks).toBe(true);
  // The first validation: curve, twelve numbers, predictions.
  await tab.until('#panel-finetune .metrics', /Average Precision/, 280_000);
  await tab.page.waitForFunction(() => document.querySelectorAll('#panel-finetune .samples canvas').length === 2);
  expect(await tab.page.$eval('.curve', (curve) => curve.getAttribute('aria-label'))).toMatch(/Loss: \d+\.\d+ at \d/);
});

it('goes on after its tab was closed in the middle', async () => {
  // The run is kept after its first validation.
  await tab.until(status, /Epoch [2-8] of 8/, 280_000);
  await tab.page.close({ runBeforeUnload: false });
  tab = await open();
  expect(await tab.until(status, /A run stands at epoch [\d.]+ of 8, step \d/)).toMatch(/best AP/);
  await tab.press('Go on', '#panel-finetune');
  await tab.until(status, /Epoch [2-8] of 8, step \d of 3/, 280_000);
});

it('pauses, finishes, and its weights can be saved and used', async () => {
  await tab.press('Pause', '#panel-finetune');
  await tab.until(status, /Paused/, 280_000);
  await tab.screenshot('finetune-paused');
  const { name, content } = await demo.saved(() => tab.press('Save the weights', '#panel-finetune'));
  expect(name).toBe('backdrop-finetuned.safetensors');
  const { tensors, metadata } = await openSafetensors(new Blob([new Uint8Array(content)]));
  expect(tensors.size).toBeGreaterThan(400);
  expect(JSON.parse(metadata?.get('classes') ?? '[]').length).toBeGreaterThan(3);
  await tab.looking(() => tab.press('Use these weights here', '#panel-finetune'));
  await tab.press('Delete run and pictures', '#panel-finetune');
  await tab.until('#panel-finetune', /No pictures yet/);
  expect(tab.errors).toEqual([]);
});
