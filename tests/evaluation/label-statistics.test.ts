import { expect, it } from 'vitest';
import { centreCells, labelStatistics, sizeCellsPerOctave, sizeOctaves } from '../../src/evaluation/label-statistics.ts';

const categories = ['a', 'b', 'c'].map((name, id) => ({ id, name }));
const annotation = (id: number, label: number, box: [number, number, number, number], crowd = false) => ({
  id,
  label,
  box,
  area: box[2] * box[3],
  crowd,
});

it('counts classes, sizes, places and boxes an image; crowds apart', () => {
  const at = (id: number, annotations: ReturnType<typeof annotation>[]) => ({ id, file: '', width: 320, height: 160, annotations });
  const statistics = labelStatistics(
    [
      at(1, [annotation(1, 0, [0, 0, 32, 32]), annotation(2, 0, [300, 150, 33, 32]), annotation(3, 1, [10, 0, 300, 160])]),
      at(2, []),
      at(3, [annotation(4, 1, [0, 0, 10, 10], true), annotation(5, 1, [0, 0, 0.5, 0.5])]),
    ],
    categories,
  );
  expect(statistics).toMatchObject({ images: 3, emptyImages: 1, boxes: 4, crowds: 1, areas: { small: 2, medium: 1, large: 1 } });
  expect(statistics.classes.map(({ category, boxes, images }) => [category.name, boxes, images])).toEqual([
    ['a', 2, 1],
    ['b', 2, 2],
    ['c', 0, 0],
  ]);
  expect([...statistics.perImage]).toEqual([1, 1, 0, 1]);
  const cells = (counts: Uint32Array, columns: number) =>
    [...counts.entries()].filter(([, count]) => count > 0).map(([i, count]) => [Math.floor(i / columns), i % columns, count]);
  // Centres (16,16), (316.5,166 beyond the lower edge), (160,80), (0.25,0.25) of 320 x 160 in 32 x 32 cells.
  expect(cells(statistics.centres, centreCells)).toEqual([
    [0, 0, 1],
    [3, 1, 1],
    [16, 16, 1],
    [31, 31, 1],
  ]);
  // Sides in thirds of octaves: 32 is 15, 33 too; 300 is 24 (256 begins there), 160 is 21; below one pixel the first cell.
  expect(cells(statistics.sizes, sizeCellsPerOctave * sizeOctaves)).toEqual([
    [0, 0, 1],
    [15, 15, 2],
    [21, 24, 1],
  ]);
  const whole = labelStatistics([], categories);
  expect(whole).toMatchObject({ images: 0, emptyImages: 0, boxes: 0 });
});
