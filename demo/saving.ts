/**
 * Saving what was found: the picture with its boxes, JSON, COCO results, YOLO lines, CSV. What is shown is what is saved; lists also
 * of all open pictures.
 */
import { annotatedPng } from '../src/host/image.ts';
import type { App } from './app.ts';
import { download, element } from './dom.ts';
import type { Looked } from './formats.ts';
import type { Sources } from './sources.ts';

const suffixes: Record<string, string> = { json: 'json', coco: 'coco.json', yolo: 'txt', csv: 'csv' };
/** A file each, so of one picture only. */
const single = ['png', 'yolo'];

const stem = (name: string) => name.replace(/\.[^.]*$/, '') || 'picture';

export function saving(app: App, sources: Sources): void {
  const buttons = element('saving').querySelectorAll('button');
  const every = element<HTMLInputElement>('save-all');
  const enable = () => {
    for (const button of buttons) button.disabled = !app.found || (every.checked && single.includes(button.value));
  };
  for (const event of ['found', 'picture', 'model'] as const) app.on(event, enable);
  every.addEventListener('change', enable);
  enable();

  async function looked(): Promise<Looked[]> {
    const { picture, found } = app;
    if (every.checked) {
      const all: Looked[] = [];
      for await (const { item, found } of sources.detectAll(sources.items)) {
        all.push({ ...found, name: item.name, detections: app.visible(found.detections) });
      }
      return all;
    }
    return picture && found ? [{ ...found, name: picture.name, detections: app.visible() }] : [];
  }

  async function save(kind: string): Promise<void> {
    const { picture } = app;
    if (kind === 'png') {
      if (!picture) return;
      const file = await annotatedPng(picture.bitmap, app.visible());
      return download(`${stem(picture.name)}-boxes.png`, new Blob([file], { type: 'image/png' }));
    }
    const all = await looked();
    if (all.length === 0) return;
    const { asCoco, asCsv, asJson, asYolo } = await import('./formats.ts');
    const content: Record<string, () => string> = {
      json: () => asJson(all),
      coco: () => asCoco(all, app.model?.classes ?? []),
      yolo: () => asYolo(all[0]),
      csv: () => asCsv(all),
    };
    download(`${every.checked ? 'detections' : stem(all[0].name)}.${suffixes[kind]}`, new Blob([content[kind]()]));
  }

  for (const button of buttons) button.addEventListener('click', () => void app.run('Saving', () => save(button.value)));
}
