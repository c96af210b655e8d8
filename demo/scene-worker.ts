/** Worker: paints landscapes and puts objects on them, so that the page stays free for pointer and keys. */

import { type Background, paintBackground } from '../src/data/scenes/background.ts';
import { composeScene } from '../src/data/scenes/compose.ts';
import { generateScene } from '../src/data/scenes/scene.ts';
import { loadSprites, type Sprite, type Sprites } from '../src/data/scenes/sprites.ts';
import { BackdropError } from '../src/errors.ts';
import { serve } from './rpc.ts';
import type { SceneCalls } from './scene-calls.ts';

let background: Background | undefined;
let loading: Promise<Sprites> | undefined;

async function loadAll(): Promise<Sprites> {
  const response = await fetch(new URL('sprites.png', import.meta.url));
  if (!response.ok) throw new BackdropError('E_FILE_MISSING', `The page's sprites are missing (${response.status}).`);
  return loadSprites(new Uint8Array(await response.arrayBuffer()));
}

function sprites(): Promise<Sprites> {
  loading ??= loadAll();
  return loading;
}

function icon({ levels }: Sprite): Promise<ImageBitmap> {
  const { width, height, pixels } = levels[1];
  const image = new ImageData(width, height);
  for (let at = 0; at < image.data.length; at += 4) {
    const alpha = pixels[at + 3];
    for (let c = 0; c < 3; c++) image.data[at + c] = alpha > 0 ? pixels[at + c] / alpha : 0;
    image.data[at + 3] = 255 * alpha;
  }
  return createImageBitmap(image);
}

serve<SceneCalls>({
  icons: async (_, { transfer }) => {
    const icons = await Promise.all((await sprites()).map(([first]) => icon(first)));
    transfer(...icons);
    return icons;
  },

  landscape: ({ seed, index, width }) => {
    const { landscape, objects } = generateScene(seed, index);
    background = paintBackground(landscape, width);
    const { behind } = background;
    const ground = { width: behind.width, height: behind.height, regions: behind.regions };
    return { ground, aspect: landscape.aspect, objects: [...objects] };
  },

  compose: async ({ objects }, { transfer }) => {
    if (!background) throw new BackdropError('E_INPUT', 'There is no landscape yet.');
    const { rgba, width, height, annotations } = composeScene(background, objects, await sprites());
    const bitmap = await createImageBitmap(new ImageData(rgba, width, height));
    transfer(bitmap);
    return { bitmap, shown: annotations.map(({ object, box }) => ({ object, box })) };
  },
});
