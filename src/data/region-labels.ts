/** Labels of an image from the regions in it, for pre-training the Background Attention Module (Stanford Background Dataset). */

/** Categories of `labels/NAME.regions.txt`, in the order of its numbers; a negative number there is the last. */
export const regionClasses = ['sky', 'tree', 'road', 'grass', 'water', 'building', 'mountain', 'foreground', 'unknown'] as const;

export interface RegionLabels {
  /** Each class's part of the pixels. */
  readonly share: Float64Array<ArrayBuffer>;
  /** 1 for classes with at least `minShare` of the pixels. */
  readonly presence: Float64Array<ArrayBuffer>;
  /** The class with most pixels, the first of several. */
  readonly dominant: number;
}

/** @param regions numbers of the classes, one a pixel of the image or of its crop */
export function regionLabels(regions: ArrayLike<number>, minShare = 0.01): RegionLabels {
  const unknown = regionClasses.length - 1;
  const share = new Float64Array(regionClasses.length);
  for (let i = 0; i < regions.length; i++) share[regions[i] < 0 ? unknown : regions[i]] += 1;
  for (let c = 0; c < share.length; c++) share[c] /= regions.length;
  return { share, presence: share.map((part) => (part >= minShare ? 1 : 0)), dominant: share.indexOf(Math.max(...share)) };
}
