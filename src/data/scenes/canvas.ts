/**
 * A picture under the brush: colours, coverage and region of every pixel. Lengths are in widths of the picture, so a landscape
 * looks the same at every size: u runs from 0 to 1 to the right, v from 0 downwards to the aspect (height / width).
 */
import type { Rgb } from './palette.ts';
import { type Region, regionNumber } from './regions.ts';

export class Canvas {
  readonly width: number;
  readonly height: number;
  /** [height, width, 3], 0 to 255, multiplied by the coverage. */
  readonly rgb: Float32Array;
  /** [height, width], 0 to 1. */
  readonly coverage: Float32Array;
  /** [height, width]: the region that covers at least half of the pixel, painted last. */
  readonly regions: Uint8Array;
  #region = 0;

  constructor(width: number, height: number) {
    this.width = width;
    this.height = height;
    this.rgb = new Float32Array(width * height * 3);
    this.coverage = new Float32Array(width * height);
    this.regions = new Uint8Array(width * height);
  }

  /** What is painted from now on belongs to this region. */
  begin(region: Region): void {
    this.#region = regionNumber(region);
  }

  /** The first pixel row whose centre lies at or below v. */
  row(v: number): number {
    return Math.min(this.height, Math.max(0, Math.ceil(v * this.width - 0.5)));
  }

  /** The first pixel column whose centre lies at or right of u. */
  column(u: number): number {
    return Math.min(this.width, Math.max(0, Math.ceil(u * this.width - 0.5)));
  }

  /** Paints a pixel of the current region over what is there. */
  blend(pixel: number, red: number, green: number, blue: number, alpha: number): void {
    if (alpha >= 0.5) this.regions[pixel] = this.#region;
    this.tint(pixel, red, green, blue, alpha);
  }

  /** Paints over a pixel that stays what it is: a shadow, a flower, light. */
  tint(pixel: number, red: number, green: number, blue: number, alpha: number): void {
    const rgb = this.rgb;
    const at = 3 * pixel;
    const rest = 1 - alpha;
    rgb[at] = red * alpha + rgb[at]! * rest;
    rgb[at + 1] = green * alpha + rgb[at + 1]! * rest;
    rgb[at + 2] = blue * alpha + rgb[at + 2]! * rest;
    this.coverage[pixel] = alpha + this.coverage[pixel]! * rest;
  }

  color(pixel: number): Rgb {
    return [this.rgb[3 * pixel]!, this.rgb[3 * pixel + 1]!, this.rgb[3 * pixel + 2]!];
  }
}
