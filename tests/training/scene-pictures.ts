/** Small pictures of Scenes for tests: the largest objects of each, in few classes. */
import type { Category, ImageRecord } from '../../src/data/dataset.ts';
import { sceneCategories } from '../../src/data/scenes/categories.ts';
import { generateScene, renderScene } from '../../src/data/scenes/scene.ts';
import { encodePng } from '../../src/host/png.ts';
import { sprites } from '../data/scenes/sheet.ts';
import type { Pictures } from './trainer.page.ts';

export interface SceneChoice {
  seed: number;
  train: number;
  /** 0: the training pictures are validated on. */
  validation: number;
  /** Sides of the square pictures. */
  side: number;
  /** Objects of a picture, the largest ones. */
  objects: number;
  /** They are drawn so many times as large as in other scenes; 1 when left out. */
  larger?: number;
  /** Kinds by name, as classes in this order; scenes without one of them are passed over. All when left out. */
  kinds?: readonly string[];
}

export async function scenePictures({ seed, train, validation, side, objects, larger = 1, kinds }: SceneChoice): Promise<Pictures> {
  const sheet = await sprites;
  const names = kinds ?? sceneCategories.map(({ name }) => name);
  const categories: Category[] = names.map((name, i) => ({ id: i + 1, name }));
  const labels = new Map(sceneCategories.map(({ name }, i) => [i, names.indexOf(name)]));
  const files: Pictures['files'] = {};
  const records: ImageRecord[] = [];
  for (let index = 0; records.length < train + validation; index++) {
    const scene = generateScene(seed, index, { aspect: 1, elsewhere: 0 });
    const chosen = scene.objects
      .filter(({ label }) => labels.get(label)! >= 0)
      .sort((a, b) => b.size - a.size)
      .slice(0, objects)
      .map((object) => ({ ...object, size: larger * object.size }));
    const picture = renderScene({ ...scene, objects: chosen }, side, sheet);
    if (picture.annotations.length === 0) continue;
    const id = records.length + 1;
    const file = `images/${id}.png`;
    files[file] = encodePng(picture.rgba, picture.width, picture.height);
    const annotations = picture.annotations.map(({ label, box, area }, i) => ({
      ...{ id: 100 * id + i, label: labels.get(label)!, box, area },
      crowd: false,
    }));
    records.push({ id, file, width: picture.width, height: picture.height, annotations });
  }
  const first = records.slice(0, train);
  return { files, categories, train: first, validation: validation === 0 ? first : records.slice(train) };
}

/** As a data set with its labels, by path. */
export function cocoFiles({ files, categories, train, validation }: Pictures): Record<string, Uint8Array<ArrayBuffer>> {
  const labels = (records: readonly ImageRecord[]) => ({
    categories,
    images: records.map(({ id, file, width, height }) => ({ id, file_name: file, width, height })),
    annotations: records.flatMap(({ id, annotations }) =>
      annotations.map((a) => ({ id: a.id, image_id: id, category_id: categories[a.label].id, bbox: a.box, area: a.area, iscrowd: 0 })),
    ),
  });
  const text = (records: readonly ImageRecord[]) => new TextEncoder().encode(JSON.stringify(labels(records)));
  const pictures = Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, new Uint8Array(bytes)]));
  return { ...pictures, 'train.json': text(train), 'val.json': text(validation) };
}
