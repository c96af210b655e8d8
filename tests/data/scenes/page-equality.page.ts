/** Scenes made in the page, for tests/data/scenes/page-equality.test.ts. */
import { generateScene, renderScene } from '../../../src/data/scenes/scene.ts';
import { loadSprites } from '../../../src/data/scenes/sprites.ts';
import { register } from '../../../src/host/page-registry.ts';

register('scenes', async ({ sheet, seed, widths }: { sheet: Uint8Array<ArrayBuffer>; seed: number; widths: number[] }) => {
  const sprites = await loadSprites(sheet);
  return widths.map((width, index) => {
    const { rgba, regions, annotations } = renderScene(generateScene(seed, index), width, sprites);
    return { rgba: new Uint8Array(rgba), regions, annotations };
  });
});
