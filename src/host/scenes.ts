/** Scenes on disk: a data set in the layout every reader knows, from a seed alone. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { splitNames } from '../data/dataset.ts';
import { addToCoco, emptyCoco } from '../data/scenes/coco.ts';
import { regionsText } from '../data/scenes/regions.ts';
import { generateScene, renderScene } from '../data/scenes/scene.ts';
import { loadSprites, type Sprites } from '../data/scenes/sprites.ts';
import { BackdropError } from '../errors.ts';
import { writeFileAtomic, writeFilePlain } from './files.ts';
import { encodePng } from './png.ts';

/** The package's sprite sheet; dist/host/cli.js and src/host/scenes.ts are at the same depth. */
export const packagedSprites = (): Promise<Sprites> =>
  loadSprites(new Uint8Array(readFileSync(new URL('../../src/data/scenes/sprites/sprites.png', import.meta.url))));

export interface SceneSet {
  readonly out: string;
  readonly seed: number;
  readonly images: number;
  readonly width: number;
  readonly height: number;
  /** Shares of train, val and test; the sum is 1. */
  readonly split: readonly [number, number, number];
  readonly elsewhere: number;
  /** Write labels/NAME.regions.txt too. */
  readonly regions: boolean;
}

export interface SceneCounts {
  readonly images: number;
  readonly boxes: number;
}

/**
 * Writes images/, labels/, the splits' COCO files and a README into a folder that is new or empty. The COCO files come last: a folder
 * with them is complete. @throws BackdropError E_FILE_EXISTS, E_FILE_WRITE; what the signal was aborted with
 */
export async function writeScenes(
  set: SceneSet,
  onProgress: (done: number) => void,
  signal: AbortSignal,
): Promise<Record<(typeof splitNames)[number], SceneCounts>> {
  const { out, seed, images, width, height, split, elsewhere } = set;
  const found = existsSync(out) ? statSync(out) : undefined;
  if (found && (!found.isDirectory() || readdirSync(out).length > 0)) {
    throw new BackdropError('E_FILE_EXISTS', `${out}: this is ${found.isDirectory() ? 'a folder with something in it' : 'a file'}`, {
      hint: 'Name a new folder; nothing is overwritten.',
    });
  }
  const sprites = await packagedSprites();
  const ends = [Math.round(images * split[0]), Math.round(images * (split[0] + split[1])), images];
  const files = splitNames.map((name) => emptyCoco(`Backdrop Scenes, ${name}, seed ${seed}, ${width} x ${height}`, seed));
  for (let index = 0; index < images; index++) {
    // Lets Ctrl-C through.
    await new Promise(setImmediate);
    signal.throwIfAborted();
    const scene = generateScene(seed, index, { aspect: height / width, elsewhere });
    const picture = renderScene(scene, width, sprites);
    const name = `scene-${String(index + 1).padStart(6, '0')}`;
    writeFilePlain(join(out, 'images', `${name}.png`), encodePng(picture.rgba, picture.width, picture.height));
    if (set.regions) writeFilePlain(join(out, 'labels', `${name}.regions.txt`), regionsText(picture.regions, picture.width));
    addToCoco(files[ends.findIndex((end) => index < end)]!, index + 1, `${name}.png`, scene, picture);
    onProgress(index + 1);
  }
  writeFileAtomic(join(out, 'README.md'), readme(set));
  writeFileAtomic(join(out, 'LICENSE-sprites.txt'), readFileSync(new URL('../../src/data/scenes/sprites/LICENSE', import.meta.url)));
  for (const [i, name] of splitNames.entries()) {
    if (files[i]!.images.length > 0) writeFileAtomic(join(out, `${name}.json`), `${JSON.stringify(files[i])}\n`);
  }
  const counts = files.map((file) => ({ images: file.images.length, boxes: file.annotations.length }));
  return { train: counts[0]!, val: counts[1]!, test: counts[2]! };
}

function readme({ seed, images, width, height, split, elsewhere, regions }: SceneSet): string {
  const size = width === 640 && height === 480 ? '' : ` --size ${width}x${height}`;
  return `# Scenes

${images} generated outdoor pictures of ${width} x ${height} pixels with 16 classes of objects, made by

    npx backdrop data scenes --out DIR --images ${images} --seed ${seed}${size} --split ${split.join(',')}${regions ? '' : ' --no-regions'}

The same command makes the same pictures again, byte for byte.

- \`images/\`: the pictures.
- \`train.json\`, \`val.json\`, \`test.json\`: COCO labels. A box is the exact bounds of the pixels that show of an object; \`area\` is their
  number, \`visible\` their share of the whole object. An object of which less than 30 % would show is not in the picture.
  \`place\` is the region it stands in. With probability ${elsewhere} an object is where its kind does not belong (\`elsewhere\`).
${regions ? '- `labels/NAME.regions.txt`: the region of every pixel as in the Stanford Background Dataset: 0 sky, 1 tree, 2 road, 3 grass,\n  4 water, 5 building, 6 mountain, 7 foreground (the objects).\n' : ''}
The landscapes may be used as you like (CC0). The objects are from Noto Color Emoji, copyright Google Inc.: LICENSE-sprites.txt.
`;
}
