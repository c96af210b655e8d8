/**
 * The part of the plane that an augmented image shows. Zoom-out, crop, flip and resize are affine and parallel to the axes: they
 * compose to one matrix, by which a box is mapped once, from the decoded image to where it ends. Pixels are read once
 * as well (resample.ts).
 */
import { mat3, vec2 } from 'gl-matrix';
import type { ImageRecord } from '../dataset.ts';

/** x0, y0, x1, y1. */
export type Corners = readonly [number, number, number, number];

/** Column by column, as gl-matrix has it; in float64, where gl-matrix by itself would take float32. */
export type Matrix = [number, number, number, number, number, number, number, number, number];

export interface Frame {
  readonly width: number;
  readonly height: number;
  /** From the decoded image's pixel coordinates to those of the frame. */
  readonly fromImage: Readonly<Matrix>;
}

/** An object on the decoded image. */
export interface Target {
  readonly label: number;
  readonly corners: Corners;
}

const identity = (): Matrix => [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** The frame after one more step. */
function next(frame: Frame, step: Matrix, width: number, height: number): Frame {
  const fromImage = identity();
  mat3.multiply(fromImage, step, frame.fromImage);
  return { width, height, fromImage };
}

/** The whole image as decoded. */
export const imageFrame = (width: number, height: number): Frame => ({ width, height, fromImage: identity() });

/** The frame of `width` x `height` whose upper left corner is at (left, top) of the given one. It may reach beyond it. */
export function movedFrame(frame: Frame, left: number, top: number, width: number, height: number): Frame {
  const step = identity();
  mat3.fromTranslation(step, [-left, -top]);
  return next(frame, step, width, height);
}

/** Left and right exchanged. */
export function mirroredFrame(frame: Frame): Frame {
  const step = identity();
  mat3.fromTranslation(step, [frame.width, 0]);
  mat3.scale(step, step, [-1, 1]);
  return next(frame, step, frame.width, frame.height);
}

/** The same view in `width` x `height` pixels. */
export function scaledFrame(frame: Frame, width: number, height: number): Frame {
  const step = identity();
  mat3.fromScaling(step, [width / frame.width, height / frame.height]);
  return next(frame, step, width, height);
}

/** Where a box of the decoded image lies in the frame, cut off at its edges. */
export function cornersIn(frame: Frame, [x0, y0, x1, y1]: Corners): Corners {
  const a = vec2.transformMat3([0, 0], [x0, y0], frame.fromImage);
  const b = vec2.transformMat3([0, 0], [x1, y1], frame.fromImage);
  const within = (v: number, size: number) => Math.min(Math.max(v, 0), size);
  return [
    within(Math.min(a[0], b[0]), frame.width),
    within(Math.min(a[1], b[1]), frame.height),
    within(Math.max(a[0], b[0]), frame.width),
    within(Math.max(a[1], b[1]), frame.height),
  ];
}

/** What a detector is to find in an image: no crowds, boxes cut off at the image's edges, none without area (RT-DETR's reading of COCO). */
export function targetsOf({ width, height, annotations }: ImageRecord): Target[] {
  const frame = imageFrame(width, height);
  return annotations
    .filter(({ crowd }) => !crowd)
    .map(({ label, box: [x, y, w, h] }) => ({ label, corners: cornersIn(frame, [x, y, x + w, y + h]) }))
    .filter(({ corners: [x0, y0, x1, y1] }) => x1 > x0 && y1 > y0);
}
