/** Scenes made in the page, for tests/data/scenes/page-equality.test.ts. */
import { generateScene, renderScene } from '../../../src/data/scenes/scene.ts';
import { loadSprites } from '../../../src/data/scenes/sprites.ts';
import { register } from '../../../src/host/page-registry.ts';

register('scene', async ({ sheet, seed, index, width }: { sheet: Uint8Array<ArrayBuffer>; seed: number; index: number; width: number }) => {
  const { rgba, regions, annotations } = renderScene(generateScene(seed, index), width, await loadSprites(sheet));
  return { rgba: new Uint8Array(rgba), regions, annotations };
});
