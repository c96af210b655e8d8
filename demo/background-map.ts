/**
 * The background map beside the picture: where the Background Attention Module is active (F_b, stride 32), in colours over the grey
 * picture, at the same zoom. While it is shown every frame is looked at with inner results kept.
 */
import { backgroundEnergy } from '../src/detector/inspection.ts';
import type { BackgroundMap } from '../src/index.ts';
import type { App } from './app.ts';
import { element } from './dom.ts';
import type { Frame, Stage } from './stage.ts';

/** From nothing to the most: black, purple, red, orange, pale yellow. */
const colors = [
  [11, 7, 36],
  [101, 21, 110],
  [199, 58, 76],
  [249, 142, 9],
  [252, 255, 164],
];

function colorAt(share: number): number[] {
  const at = share * (colors.length - 1);
  const low = Math.min(Math.floor(at), colors.length - 2);
  return colors[low].map((value, i) => value + (colors[low + 1][i] - value) * (at - low));
}

/** A pixel for each place of the map. */
function picture({ width, height }: BackgroundMap, values: Float32Array): OffscreenCanvas {
  const most = values.reduce((a, b) => Math.max(a, b), 0);
  const least = values.reduce((a, b) => Math.min(a, b), most);
  const image = new ImageData(width, height);
  values.forEach((value, i) => {
    const share = (value - least) / (most - least || 1);
    image.data.set([...colorAt(share), 130 + 95 * share], 4 * i);
  });
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext('2d')?.putImageData(image, 0, 0);
  return canvas;
}

export class BackgroundView {
  readonly #app: App;
  readonly #stage: Stage;
  readonly #canvas = element<HTMLCanvasElement>('map');
  #values: (map: BackgroundMap) => Float32Array = backgroundEnergy;
  #drawn: OffscreenCanvas | null = null;

  constructor(app: App, stage: Stage, changed: () => void) {
    this.#app = app;
    this.#stage = stage;
    element('map-toggle').addEventListener('click', () => {
      this.show(!app.inspecting);
      changed();
    });
    app.on('found', () => this.#refresh());
    app.on('picture', (picture) => {
      if (!picture?.live) this.#refresh();
    });
    stage.overlays.add((_, frame) => this.#paint(frame));
  }

  show(on: boolean): void {
    this.#app.setInspecting(on);
    element('map-toggle').setAttribute('aria-pressed', String(on));
    element('stage').classList.toggle('split', on);
    this.#refresh();
  }

  /** What of the map is shown: its energy, a group of channels, or a class. */
  choose(name: string, values: (map: BackgroundMap) => Float32Array): void {
    this.#values = values;
    element('map-name').textContent = name;
    this.#refresh();
  }

  #refresh(): void {
    const { found } = this.#app;
    this.#drawn = this.#app.inspecting && found?.background ? picture(found.background, this.#values(found.background)) : null;
    element('map-none').hidden = !found?.inspected || found.background !== null;
    this.#stage.draw();
  }

  #paint({ x, y, scale, width, height }: Frame): void {
    const canvas = this.#canvas;
    const context = canvas.getContext('2d');
    const shown = this.#app.picture;
    if (!this.#app.inspecting || !context || !shown) return;
    this.#stage.fit(canvas, context);
    const place = [x, y, width * scale, height * scale] as const;
    context.drawImage(shown.bitmap, ...place);
    context.globalCompositeOperation = 'saturation';
    context.fillStyle = '#000';
    context.fillRect(...place);
    context.globalCompositeOperation = 'source-over';
    context.imageSmoothingQuality = 'high';
    if (this.#drawn) context.drawImage(this.#drawn, ...place);
  }
}
