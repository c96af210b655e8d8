/** What comes with the package: the embedded model and sample scenes, beside the demo page in dist/. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const demo = fileURLToPath(new URL('../demo/', import.meta.url));

/** association-detr-nano, trained on Scenes by `backdrop train`. */
export const embeddedModel = join(demo, 'model', 'association-detr-nano.safetensors');

/** Paths of the sample scenes. */
export function sampleScenes(): string[] {
  const folder = join(demo, 'samples');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jpg'))
    .map((name) => join(folder, name));
}
