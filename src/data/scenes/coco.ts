/** The labels of scenes as a COCO file (cocodataset.org/#format-data), with two fields of our own that say why an object is hard. */
import { sceneCategories } from './categories.ts';
import type { Picture } from './compose.ts';
import { isHome } from './objects.ts';
import type { Scene } from './scene.ts';

export interface SceneCoco {
  readonly info: { readonly description: string; readonly seed: number };
  readonly licenses: readonly { readonly id: number; readonly name: string; readonly url: string }[];
  readonly categories: readonly { readonly id: number; readonly name: string; readonly supercategory: string }[];
  readonly images: { id: number; file_name: string; width: number; height: number; license: number }[];
  readonly annotations: {
    id: number;
    image_id: number;
    category_id: number;
    bbox: readonly [number, number, number, number];
    /** Pixels that show. */
    area: number;
    iscrowd: 0;
    /** The region it stands in, and whether it does not belong there. */
    place: string;
    elsewhere: boolean;
    /** Share of it that shows, to three digits. */
    visible: number;
  }[];
}

export function emptyCoco(description: string, seed: number): SceneCoco {
  return {
    info: { description, seed },
    licenses: [
      {
        id: 1,
        name: 'CC0 1.0; objects: Noto Color Emoji, SIL Open Font License 1.1',
        url: 'https://creativecommons.org/publicdomain/zero/1.0/',
      },
    ],
    categories: sceneCategories.map(({ name, home }, label) => ({ id: label + 1, name, supercategory: home.join(' or ') })),
    images: [],
    annotations: [],
  };
}

/** Adds a picture and its boxes. Ids count from 1 in the order of the calls; `id` is the picture's. */
export function addToCoco(coco: SceneCoco, id: number, file: string, scene: Scene, { width, height, annotations }: Picture): void {
  coco.images.push({ id, file_name: file, width, height, license: 1 });
  for (const { object, label, box, area, visible } of annotations) {
    const placed = scene.objects[object]!;
    coco.annotations.push({
      id: coco.annotations.length + 1,
      image_id: id,
      category_id: label + 1,
      bbox: box,
      area,
      iscrowd: 0,
      place: placed.place,
      elsewhere: !isHome(placed),
      visible: Math.round(visible * 1000) / 1000,
    });
  }
}
