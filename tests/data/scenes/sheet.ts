/** The sprite sheet of the repository, for tests in Node. */
import { readFileSync } from 'node:fs';
import { loadSprites } from '../../../src/data/scenes/sprites.ts';

export const sheet = new Uint8Array(readFileSync(new URL('../../../src/data/scenes/sprites/sprites.png', import.meta.url)));
export const sprites = loadSprites(sheet);
