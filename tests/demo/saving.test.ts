import { describe, expect, it } from 'vitest';
import { asCoco, asCsv, asJson, asYolo, type Looked } from '../../demo/formats.ts';
import { cocoClasses } from '../../src/detector/coco.ts';

const looked: Looked = {
  name: 'street 000042.jpg',
  width: 200,
  height: 100,
  detections: [
    { score: 0.87654321, label: 'car', labelId: 0, box: { xmin: 10, ymin: 20, xmax: 60.123, ymax: 40 }, query: 3 },
    { score: 0.5, label: 'a "big", truck', labelId: 1, box: { xmin: 0, ymin: 0, xmax: 200, ymax: 100 }, query: 7 },
  ],
};

describe('formats of saved detections', () => {
  it('JSON has the picture and what was found, in pixels', () => {
    const { image, width, height, detections } = JSON.parse(asJson([looked]));
    expect([image, width, height]).toEqual(['street 000042.jpg', 200, 100]);
    expect(detections[0]).toEqual({ score: 0.87654321, label: 'car', box: { xmin: 10, ymin: 20, xmax: 60.123, ymax: 40 } });
  });

  it("COCO results have x, y, width, height, the file name's number, and categories from 1", () => {
    const results = JSON.parse(asCoco([looked], ['car', 'a "big", truck']));
    expect(results).toEqual([
      { image_id: 42, category_id: 1, bbox: [10, 20, 50.12, 20], score: 0.87654 },
      { image_id: 42, category_id: 2, bbox: [0, 0, 200, 100], score: 0.5 },
    ]);
    expect(JSON.parse(asCoco([{ ...looked, name: 'boat.png' }], []))[0].image_id).toBe(1);
  });

  it("COCO's own classes have COCO's own ids, which leave numbers out", () => {
    const last = { ...looked.detections[0]!, label: 'toothbrush', labelId: 79 };
    expect(JSON.parse(asCoco([{ ...looked, detections: [last] }], cocoClasses))[0].category_id).toBe(90);
  });

  it('several pictures are a list; they are counted where their names have no number of their own', () => {
    const other = { ...looked, name: 'boat.png', detections: looked.detections.slice(1) };
    expect(JSON.parse(asJson([looked, other])).map(({ image }: { image: string }) => image)).toEqual(['street 000042.jpg', 'boat.png']);
    const ids = (names: string[]) => {
      const all = names.map((name) => ({ ...other, name }));
      return JSON.parse(asCoco(all, [])).map(({ image_id }: { image_id: number }) => image_id);
    };
    expect(ids(['a 7.jpg', 'b.jpg'])).toEqual([1, 2]);
    expect(ids(['a 7.jpg', 'b 007.jpg'])).toEqual([1, 2]);
    expect(ids(['a 7.jpg', 'b 3.jpg'])).toEqual([7, 3]);
    expect(asCsv([looked, other]).split('\r\n').length).toBe(1 + 2 + 1 + 1);
  });

  it('YOLO lines have the middle and the size as shares of the picture', () => {
    const [first, second, end] = asYolo(looked).split('\n');
    expect(first).toBe('0 0.175307 0.300000 0.250615 0.200000 0.876543');
    expect(second).toBe('1 0.500000 0.500000 1.000000 1.000000 0.500000');
    expect(end).toBe('');
    expect(asYolo({ ...looked, detections: [] })).toBe('');
  });

  it('CSV quotes what needs it, and keeps formulas from running', () => {
    const lines = asCsv([{ ...looked, name: '=HYPERLINK("x").jpg' }]).split('\r\n');
    expect(lines).toEqual([
      'image,label,score,xmin,ymin,xmax,ymax',
      '"\'=HYPERLINK(""x"").jpg",car,0.87654,10,20,60.12,40',
      '"\'=HYPERLINK(""x"").jpg","a ""big"", truck",0.5,0,0,200,100',
      '',
    ]);
  });
});
