/** A sprite of the scenes on a button. */
import type { Sprite } from '../src/data/scenes/sprites.ts';

export function drawSpriteIcon(canvas: HTMLCanvasElement, { levels }: Sprite): void {
  const level = levels.find(({ width }) => width <= canvas.width) ?? levels[0];
  const image = new ImageData(level.width, level.height);
  for (let at = 0; at < image.data.length; at += 4) {
    const alpha = level.pixels[at + 3];
    for (let c = 0; c < 3; c++) image.data[at + c] = alpha > 0 ? level.pixels[at + c] / alpha : 0;
    image.data[at + 3] = 255 * alpha;
  }
  canvas.getContext('2d')?.putImageData(image, (canvas.width - level.width) / 2, (canvas.height - level.height) / 2);
}
