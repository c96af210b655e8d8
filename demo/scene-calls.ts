/** The scene worker: what it can be asked. */
import type { SceneObject } from '../src/data/scenes/objects.ts';

/** What lies where on the landscape. */
export interface Regions {
  readonly width: number;
  readonly height: number;
  /** [height, width], numbers of regionNames. */
  readonly regions: Uint8Array;
}

export interface ComposedScene {
  readonly bitmap: ImageBitmap;
  /** Of the objects that show, the farthest first: position in the objects given, x, y, width and height in pixels. */
  readonly shown: readonly { object: number; box: readonly [number, number, number, number] }[];
}

export type SceneCalls = {
  /** A picture of each category. */
  icons: { request: null; answer: readonly ImageBitmap[] };
  /** Paints a landscape, on which `compose` puts objects; answers with the scene's own objects. */
  landscape: {
    request: { seed: number; index: number; width: number };
    answer: { ground: Regions; aspect: number; objects: SceneObject[] };
  };
  compose: { request: { objects: readonly SceneObject[] }; answer: ComposedScene };
};
