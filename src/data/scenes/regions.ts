/**
 * Region numbers of the Stanford Background Dataset (S. Gould, R. Fulton, D. Koller, "Decomposing a scene into geometric and
 * semantically consistent regions", ICCV 2009) and its text files: one row of the picture a line, numbers apart by a space.
 */
export const regionNames = ['sky', 'tree', 'road', 'grass', 'water', 'building', 'mountain', 'foreground'] as const;

export type Region = (typeof regionNames)[number];

export const regionNumber = (region: Region): number => regionNames.indexOf(region);

/** The contents of labels/NAME.regions.txt for a map of [height, width]. */
export function regionsText(map: Uint8Array, width: number): string {
  const lines: string[] = [];
  for (let start = 0; start < map.length; start += width) lines.push(map.subarray(start, start + width).join(' '));
  return `${lines.join('\n')}\n`;
}
