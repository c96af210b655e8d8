import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { imageDraws } from '../../../src/data/augment/draws.ts';
import {
  type Corners,
  cornersIn,
  type Frame,
  imageFrame,
  mirroredFrame,
  movedFrame,
  scaledFrame,
  type Target,
  targetsOf,
} from '../../../src/data/augment/frame.ts';
import { horizontalFlip } from '../../../src/data/augment/horizontal-flip.ts';
import { type IouCrop, iouCrop, iouCropDefaults } from '../../../src/data/augment/iou-crop.ts';
import { sanitize } from '../../../src/data/augment/sanitize.ts';
import { zoomOut } from '../../../src/data/augment/zoom-out.ts';

const side = fc.integer({ min: 1, max: 300 });
const unit = fc.integer({ min: 0, max: 1000 }).map((v) => v / 1000);
const frames = fc.record({ width: side, height: side }).map(({ width, height }) => imageFrame(width, height));
/** A box in the frame, of any size from 0. */
const boxIn = ({ width, height }: Frame) =>
  fc.tuple(unit, unit, unit, unit).map(([a, b, c, d]): Corners => {
    return [Math.min(a, c) * width, Math.min(b, d) * height, Math.max(a, c) * width, Math.max(b, d) * height];
  });
const targetsIn = (frame: Frame) =>
  fc.array(boxIn(frame), { maxLength: 6 }).map((boxes) => boxes.map((corners, label): Target => ({ label, corners })));
const scene = frames.chain((frame) => fc.record({ frame: fc.constant(frame), targets: targetsIn(frame), id: fc.nat() }));
const count = 3000;
/** Six standard deviations of the share of `count` draws. */
const expectShare = (hits: number, probability: number) =>
  expect(Math.abs(hits / count - probability)).toBeLessThan(6 * Math.sqrt((probability * (1 - probability)) / count));

describe('a frame', () => {
  it('mirrored twice is the frame', () => {
    fc.assert(
      fc.property(frames, (frame) => {
        const { fromImage, ...size } = mirroredFrame(mirroredFrame(frame));
        // Adding 0 takes the sign off a zero.
        expect({ ...size, fromImage: fromImage.map((v) => v + 0) }).toEqual(frame);
      }),
    );
  });

  it('mirrors a box within itself', () => {
    const [frame, box] = [imageFrame(100, 50), [10, 5, 30, 20] as const];
    expect(cornersIn(mirroredFrame(frame), box)).toEqual([70, 5, 90, 20]);
    expect(cornersIn(scaledFrame(mirroredFrame(frame), 200, 25), box)).toEqual([140, 2.5, 180, 10]);
    expect(cornersIn(movedFrame(frame, 20, -5, 60, 60), box)).toEqual([0, 10, 10, 25]);
  });

  it('composed maps a box as step after step does, in float64', () => {
    fc.assert(
      fc.property(
        frames.chain((frame) => fc.tuple(fc.constant(frame), boxIn(frame))),
        fc.integer({ min: -99, max: 99 }),
        fc.integer({ min: -99, max: 99 }),
        side,
        side,
        (scene, left, top, width, height) => {
          const [frame, [x0, y0, x1, y1]] = scene;
          const final = scaledFrame(mirroredFrame(movedFrame(frame, left, top, width, height)), 64, 48);
          const within = (v: number, size: number) => Math.min(Math.max(v, 0), size);
          const flipped = [width - (x1 - left), y0 - top, width - (x0 - left), y1 - top];
          const expected = flipped.map((v, i) => (i % 2 === 0 ? within((v * 64) / width, 64) : within((v * 48) / height, 48)));
          const found = cornersIn(final, [x0, y0, x1, y1]);
          // A few roundings of numbers up to 64 * 400.
          for (const i of [0, 1, 2, 3]) expect(Math.abs(found[i] - expected[i])).toBeLessThan(64 * 400 * 2 ** -50);
        },
      ),
    );
  });
});

describe('zoom-out', () => {
  it('holds the whole image at its size, on a canvas of up to four times its sides', () => {
    fc.assert(
      fc.property(scene, ({ frame, targets, id }) => {
        const zoomed = zoomOut(frame, { probability: 1, side: [1, 4] }, imageDraws(1, 0, id, 'zoomOut'));
        expect(zoomed.width).toBeGreaterThanOrEqual(frame.width);
        expect(zoomed.width).toBeLessThan(4 * frame.width);
        expect(zoomed.height).toBeGreaterThanOrEqual(frame.height);
        for (const corners of [[0, 0, frame.width, frame.height] as const, ...targets.map((target) => target.corners)]) {
          const [x0, y0, x1, y1] = cornersIn(zoomed, corners);
          expect(x1 - x0).toBeCloseTo(corners[2] - corners[0], 9);
          expect(y1 - y0).toBeCloseTo(corners[3] - corners[1], 9);
        }
      }),
    );
  });

  it('comes as often as wanted, with sides spread over the range', () => {
    const frame = imageFrame(1000, 1000);
    const zoomed = Array.from({ length: count }, (_, id) =>
      zoomOut(frame, { probability: 0.5, side: [1, 4] }, imageDraws(3, 1, id, 'zoomOut')),
    );
    const changed = zoomed.filter(({ width }) => width > 1000);
    expectShare(changed.length, 0.5);
    for (const [i, limit] of [1000, 2000, 3000].entries()) expectShare(zoomed.filter(({ width }) => width <= limit).length, 0.5 + i / 6);
    // Room to the left is anything from none to all there is.
    const places = changed.map(({ width, fromImage }) => fromImage[6] / (width - 1000));
    expect(Math.abs(places.reduce((a, b) => a + b) / places.length - 0.5)).toBeLessThan(6 * Math.sqrt(1 / 12 / places.length));
  });
});

describe('IoU crop', () => {
  const always: IouCrop = { ...iouCropDefaults, probability: 1 };
  const centre = ([x0, y0, x1, y1]: Corners) => [(x0 + x1) / 2, (y0 + y1) / 2];

  /** Of few pixels, so that centres lie on the edges of crops. */
  const smallScene = fc
    .record({ width: fc.integer({ min: 1, max: 8 }), height: fc.integer({ min: 1, max: 8 }) })
    .chain(({ width, height }) => {
      const corner = fc.tuple(fc.integer({ min: 0, max: width }), fc.integer({ min: 0, max: height }));
      const box = fc
        .tuple(corner, corner)
        .map(([[a, b], [c, d]]): Corners => [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)]);
      const targets = fc.array(box, { maxLength: 4 }).map((boxes) => boxes.map((corners, label): Target => ({ label, corners })));
      return fc.record({ frame: fc.constant(imageFrame(width, height)), targets, id: fc.nat() });
    });

  it.each([
    ['large', scene],
    ['small', smallScene],
  ])('lies in the %s frame, in the allowed shapes, and keeps the boxes whose centre is inside', (_, scenes) => {
    fc.assert(
      fc.property(scenes, ({ frame, targets, id }) => {
        const crop = iouCrop(frame, targets, always, imageDraws(1, 0, id, 'iouCrop'));
        const [left, top] = [-crop.frame.fromImage[6], -crop.frame.fromImage[7]];
        const { width, height } = crop.frame;
        expect([left, top, width, height].every(Number.isInteger)).toBe(true);
        expect(left >= 0 && top >= 0 && left + width <= frame.width && top + height <= frame.height).toBe(true);
        if (crop.targets === targets) return;
        expect(width).toBeGreaterThanOrEqual(Math.trunc(0.3 * frame.width));
        expect(width / height).toBeGreaterThanOrEqual(0.5);
        expect(width / height).toBeLessThanOrEqual(2);
        const inside = targets.filter(({ corners }) => {
          const [x, y] = centre(corners);
          return left < x && x < left + width && top < y && y < top + height;
        });
        expect(crop.targets).toEqual(inside);
        expect(inside.length).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });

  it.each([0.1, 0.5, 0.9])('overlaps an object by at least %d', (least) => {
    let cropped = 0;
    fc.assert(
      fc.property(scene, ({ frame, targets, id }) => {
        const crop = iouCrop(frame, targets, { ...always, leastIou: [least] }, imageDraws(1, 0, id, 'iouCrop'));
        if (crop.frame === frame) return;
        cropped++;
        const area = crop.frame.width * crop.frame.height;
        const ious = crop.targets.map(({ corners }) => {
          const [x0, y0, x1, y1] = cornersIn(crop.frame, corners);
          const shared = (x1 - x0) * (y1 - y0);
          return shared / (area + (corners[2] - corners[0]) * (corners[3] - corners[1]) - shared);
        });
        expect(Math.max(...ious)).toBeGreaterThan(least - 1e-9);
      }),
      { numRuns: 300 },
    );
    expect(cropped).toBeGreaterThan(10);
  });

  it('leaves alone what has no objects, what draws 1, and what no crop fits', () => {
    const frame = imageFrame(60, 60);
    const targets = [{ label: 0, corners: [10, 10, 20, 20] as const }];
    const draws = () => imageDraws(1, 0, 1, 'iouCrop');
    expect(iouCrop(frame, [], always, draws())).toEqual({ frame, targets: [] });
    expect(iouCrop(frame, targets, { ...always, leastIou: [1] }, draws())).toEqual({ frame, targets });
    expect(iouCrop(frame, targets, { ...always, probability: 0 }, draws())).toEqual({ frame, targets });
    // Crops have at least 18 x 18 pixels: an IoU of 0.9 with 10 x 10 cannot be.
    expect(iouCrop(frame, targets, { ...always, leastIou: [0.9] }, draws())).toEqual({ frame, targets });
    const dot = imageFrame(1, 1);
    expect(iouCrop(dot, targets, { ...always, leastIou: [0], scale: [0.3, 0.9] }, draws())).toEqual({ frame: dot, targets });
  });

  it('comes as often as wanted', () => {
    const frame = imageFrame(100, 100);
    const targets = [{ label: 0, corners: [0, 0, 100, 100] as const }];
    const config = { ...always, probability: 0.8, leastIou: [0, 1] };
    const crops = Array.from({ length: count }, (_, id) => iouCrop(frame, targets, config, imageDraws(3, 1, id, 'iouCrop')));
    // Half of the 0.8 draw 1; of the others almost none fails forty times.
    expectShare(crops.filter((crop) => crop.frame !== frame).length, 0.4);
  });
});

it('the flip comes as often as wanted', () => {
  const frame = imageFrame(8, 8);
  const flipped = Array.from({ length: count }, (_, id) => horizontalFlip(frame, 0.5, imageDraws(2, 0, id, 'horizontalFlip')) !== frame);
  expectShare(flipped.filter(Boolean).length, 0.5);
});

describe('sanitize', () => {
  it('keeps exactly what is seen with sides of a pixel or more', () => {
    const target = (...corners: Corners): Target => ({ label: 0, corners });
    const frame = imageFrame(10, 10);
    const good = [target(0, 0, 1, 1), target(-5, -5, 1, 1), target(9, 3, 30, 4), target(0, 0, 10, 10)];
    const bad = [target(0, 0, 0.99, 5), target(0, 0, 5, 0.99), target(9.5, 0, 30, 5), target(11, 0, 15, 5), target(3, 3, 3, 3)];
    expect(sanitize([...bad, ...good, ...bad], frame)).toEqual(good);
    expect(sanitize([target(0, 0, 1, 1)], scaledFrame(frame, 9, 10))).toEqual([]);
  });
});

it("an image's targets are its objects without crowds, cut off at its edges, none without area", () => {
  const annotation = { id: 1, label: 2, area: 1, crowd: false };
  const annotations = [
    { ...annotation, box: [-5, 90, 20, 20] as const },
    { ...annotation, crowd: true, box: [0, 0, 50, 50] as const },
    { ...annotation, box: [100, 10, 20, 20] as const },
    { ...annotation, box: [10, 10, 0, 20] as const },
    { ...annotation, label: 1, box: [1.5, 2.5, 3, 4] as const },
  ];
  expect(targetsOf({ id: 1, file: 'x', width: 100, height: 100, annotations })).toEqual([
    { label: 2, corners: [0, 90, 15, 100] },
    { label: 1, corners: [1.5, 2.5, 4.5, 6.5] },
  ]);
});
