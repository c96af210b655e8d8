/**
 * Scenes: outdoor pictures from a seed, with objects where they belong and now and then elsewhere. Everything is arithmetic that
 * IEEE 754 fixes, on typed arrays: the same seed, number and size give the same bytes in Node and in every page.
 */
import { BackdropError } from '../../errors.ts';
import { type Background, paintBackground } from './background.ts';
import { composeScene, type Picture } from './compose.ts';
import { generateLandscape, type Landscape } from './landscape.ts';
import { drawObjects, elsewhereDefault, placementWidth, type SceneObject } from './objects.ts';
import type { Sprites } from './sprites.ts';

export interface Scene {
  readonly landscape: Landscape;
  readonly objects: readonly SceneObject[];
}

export interface SceneOptions {
  /** Height / width, default 3/4. */
  readonly aspect?: number;
  /** Probability that an object is where its kind does not belong, default 0.15. */
  readonly elsewhere?: number;
}

/** Scene number `index` of a seed: both whole numbers, the seed below 2^53. @throws BackdropError E_INPUT */
export function generateScene(seed: number, index: number, { aspect = 0.75, elsewhere = elsewhereDefault }: SceneOptions = {}): Scene {
  if (!Number.isSafeInteger(seed) || seed < 0)
    throw new BackdropError('E_INPUT', `scene seed ${seed}: expected a whole number from 0 to 2^53 - 1`);
  if (!Number.isInteger(index) || index < 0 || index >= 2 ** 32)
    throw new BackdropError('E_INPUT', `scene number ${index}: expected a whole number from 0`);
  if (!(aspect >= 0.4 && aspect <= 1.6))
    throw new BackdropError('E_INPUT', `scene of aspect ${aspect} (height / width): expected 0.4 to 1.6`);
  if (!(elsewhere >= 0 && elsewhere <= 1)) throw new BackdropError('E_INPUT', `share of objects elsewhere ${elsewhere}: expected 0 to 1`);
  const landscape = generateLandscape(seed, index, aspect);
  return { landscape, objects: drawObjects(seed, index, paintBackground(landscape, placementWidth), elsewhere) };
}

/** A scene as a picture `width` pixels wide. To change objects on one landscape, keep its Background and call composeScene. */
export function renderScene(scene: Scene, width: number, sprites: Sprites): Picture & { readonly background: Background } {
  const background = paintBackground(scene.landscape, width);
  return { ...composeScene(background, scene.objects, sprites), background };
}
