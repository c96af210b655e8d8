/** What can stand in a scene, where it belongs, and how large it is beside the others. */
import type { Region } from './regions.ts';

export interface SceneCategory {
  readonly name: string;
  /** Where it belongs. */
  readonly home: readonly Region[];
  /** Its longest side beside a car's. Compressed: true sizes would leave a dog beside a ship invisible. */
  readonly size: number;
  /** How often it is drawn beside the others, so that each is about as frequent although water is rarer than sky. */
  readonly weight: number;
  /** Part of its height that is under water when it swims. */
  readonly draught: number;
  /** Emoji, in the order of the sprite sheet. */
  readonly variants: string;
}

const row = (name: string, variants: string, home: readonly Region[], size: number, weight: number, draught: number): SceneCategory => ({
  name,
  variants,
  home,
  size,
  weight,
  draught,
});

/** src/host/make-sprites.mjs makes the sheet from these lines. */
export const sceneCategories: readonly SceneCategory[] = [
  row('boat', '⛵🚤🛥🚢⛴🛶', ['water'], 1.15, 1.3, 0.06),
  row('duck', '🦆🦢', ['water'], 0.65, 1.3, 0.16),
  row('whale', '🐳🐋🐬', ['water'], 1.1, 1.3, 0.22),
  row('car', '🚗🚙🚕🚓🛻🚐', ['road'], 1, 1.9, 0.2),
  row('truck', '🚚🚛🚒🚑', ['road'], 1.2, 2.5, 0.2),
  row('bus', '🚌🚍', ['road'], 1.2, 2.2, 0.2),
  row('bicycle', '🚲🚴', ['road'], 0.9, 1.95, 0.2),
  row('airplane', '✈🛩', ['sky'], 1.1, 0.6, 0.2),
  row('bird', '🐦🕊🦅🦜', ['sky', 'tree'], 0.65, 0.55, 0.1),
  row('sheep', '🐑🐏', ['grass'], 0.8, 0.65, 0.3),
  row('goat', '🐐', ['mountain'], 0.85, 1.1, 0.3),
  row('cow', '🐄🐂🐃', ['grass'], 0.95, 0.75, 0.3),
  row('horse', '🐎🏇', ['grass'], 1, 0.9, 0.3),
  row('deer', '🦌', ['tree'], 0.95, 1.1, 0.3),
  row('dog', '🐕🐩🦮', ['grass', 'road'], 0.7, 0.75, 0.3),
  row('person', '🚶🏃🧍', ['road', 'grass'], 0.95, 0.85, 0.35),
];
