/** Look inside: the background map, the places the decoder samples for a box, and the detections without the Association Encoder. */
import { openSafetensors } from '../src/checkpoints/index.ts';
import { backgroundEnergy, classHeatmap } from '../src/detector/inspection.ts';
import { BackdropError } from '../src/errors.ts';
import { drawBoxes, labelColor } from '../src/host/image.ts';
import type { Detection } from '../src/index.ts';
import { make, percent } from './dom.ts';
import type { Inside } from './engine.ts';
import type { PanelContext, PanelModule } from './panels.ts';
import type { Frame } from './stage.ts';

/** The categories of the background, in the order of the Stanford Background Dataset, and "unknown". */
const backgroundClasses = ['sky', 'tree', 'road', 'grass', 'water', 'building', 'mountain', 'foreground', 'unknown'];
const groups = 8;
const levelColors = ['#ffd166', '#ff7b54', '#c77dff'];
const levelNames = ['stride 8', 'stride 16', 'stride 32'];

/** The linear head of a pre-trained background classifier. */
interface Head {
  readonly weight: Float32Array;
  readonly classes: number;
  readonly channels: number;
}

async function openHead(file: File): Promise<Head> {
  const source = await openSafetensors(file, { fileName: file.name });
  const found = [...source.tensors].find(([name, { shape }]) => /(^|\.)weight$/.test(name) && shape.length === 2);
  if (!found) {
    throw new BackdropError('E_CKPT_ARCH', `${file.name} holds no linear head.`, {
      hint: 'It needs a tensor "weight" of [classes, channels], as PyTorch writes a Linear layer.',
    });
  }
  const [name, { shape }] = found;
  return { weight: await source.readFloat32(name), classes: shape[0], channels: shape[1] };
}

class InsidePanel {
  readonly #context: PanelContext;
  #inside: Inside | null = null;
  #head: Head | null = null;
  #heat: OffscreenCanvas | null = null;
  #asked = 0;
  #entered = true;
  readonly #show = make('input', { type: 'checkbox', checked: true, id: 'show-background' });
  readonly #what = make('select', { id: 'background-what' });
  readonly #strength = make('input', { type: 'range', min: '0', max: '1', step: '0.05', value: '0.65', id: 'background-strength' });
  readonly #note = make('p', { className: 'hint' });
  readonly #points = make('p', { className: 'hint' });
  readonly #beside = make('canvas', { className: 'beside', role: 'img', 'aria-label': 'Detections without the Association Encoder' });
  readonly #changes = make('ul', { className: 'changes', 'aria-label': 'What the background changes' });

  constructor(root: HTMLElement, context: PanelContext) {
    this.#context = context;
    const { app, stage } = context;
    const headFile = make('input', { type: 'file', accept: '.safetensors', id: 'head-file' });
    headFile.addEventListener('change', () => {
      const file = headFile.files?.[0];
      if (file) void app.run(`Opening ${file.name}`, async () => this.#useHead(await openHead(file), file.name));
    });
    for (const control of [this.#show, this.#what, this.#strength]) control.addEventListener('input', () => this.#paintHeat());
    root.append(
      make('h2', {}, 'Where the background module looks'),
      make('div', { className: 'row' }, make('label', { htmlFor: 'show-background' }, 'Show on the picture'), this.#show),
      make('div', { className: 'row' }, make('label', { htmlFor: 'background-what' }, 'What'), this.#what),
      make('div', { className: 'row' }, make('label', { htmlFor: 'background-strength' }, 'Strength'), this.#strength),
      make('div', { className: 'row' }, make('label', { htmlFor: 'head-file' }, 'Class heatmaps: a head file'), headFile),
      this.#note,
      make('h2', {}, 'Where the decoder looks'),
      this.#points,
      make('h2', {}, 'Without the Association Encoder'),
      this.#beside,
      this.#changes,
    );
    this.#listWhat();
    stage.overlays.add((canvas, frame) => this.#overlay(canvas, frame));
    app.on('found', () => void this.#look());
    app.on('picture', (picture) => {
      if (picture?.live) return;
      this.#inside = null;
      this.#paintHeat();
    });
    let chosen: Detection | null = null;
    app.on('view', () => {
      if (app.chosen === chosen) return;
      chosen = app.chosen;
      void this.#look();
    });
    void this.#look();
  }

  enter(): void {
    this.#entered = true;
    void this.#look();
  }

  leave(): void {
    this.#entered = false;
    this.#context.stage.draw();
  }

  /** Asks the model; while it looks, only the last question counts. */
  async #look(): Promise<void> {
    const { app } = this.#context;
    const { picture, model } = app;
    if (!this.#entered || !picture || !model || !app.found) return;
    const asked = ++this.#asked;
    const target = app.chosen ?? app.visible()[0] ?? null;
    try {
      const bitmap = await createImageBitmap(picture.bitmap);
      const inside = await app.engine.call('inspect', { bitmap, query: target?.query ?? null }, { transfer: [bitmap] });
      if (asked !== this.#asked) return;
      this.#inside = inside;
      this.#describe(target);
      this.#paintHeat();
      this.#compare(inside.without);
    } catch (error) {
      app.report(error);
    }
  }

  #useHead(head: Head, name: string): void {
    const channels = this.#inside?.background?.channels;
    if (channels !== undefined && channels !== head.channels) {
      throw new BackdropError(
        'E_CKPT_SHAPE',
        `${name} is a head over ${head.channels} channels; this model's background has ${channels}.`,
        {
          hint: 'Open the head that was trained with this model.',
        },
      );
    }
    this.#head = head;
    this.#listWhat();
    this.#paintHeat();
  }

  #listWhat(): void {
    const options = [new Option('Energy: all channels', 'energy')];
    for (let group = 0; group < groups; group++) options.push(new Option(`Channel group ${group + 1} of ${groups}`, `group ${group}`));
    for (let label = 0; label < (this.#head?.classes ?? 0); label++) {
      options.push(new Option(`Class: ${backgroundClasses[label] ?? `class ${label}`}`, `class ${label}`));
    }
    this.#what.replaceChildren(...options);
  }

  #describe(target: Detection | null): void {
    const background = this.#inside?.background;
    this.#note.textContent = background
      ? `F_b, ${background.width} × ${background.height} places of ${background.channels} channels, drawn over the picture.`
      : 'This model has no Background Attention Module.';
    const levels = levelNames.map((name, level) => `${name}: ${['yellow', 'orange', 'violet'][level]}`).join(', ');
    this.#points.textContent = target
      ? `${target.label} ${percent(target.score)}: the points its query reads in the last layer (${levels}); larger is more weight. Choose another box to see its points.`
      : 'No box to look at.';
  }

  /** The map as a small picture, which the stage stretches. */
  #paintHeat(): void {
    const background = this.#inside?.background;
    this.#heat = null;
    if (background && this.#show.checked) {
      const [kind, index] = this.#what.value.split(' ');
      const values =
        kind === 'class' && this.#head
          ? classHeatmap(background, this.#head.weight, Number(index))
          : backgroundEnergy(background, kind === 'group' ? Number(index) : 0, kind === 'group' ? groups : 1);
      const most = values.reduce((a, b) => Math.max(a, b), 0) || 1;
      const least = values.reduce((a, b) => Math.min(a, b), most);
      const { width, height } = background;
      const canvas = new OffscreenCanvas(width, height);
      const image = new ImageData(width, height);
      values.forEach((value, i) => {
        const share = (value - least) / (most - least || 1);
        // From clear over amber to magenta.
        image.data.set([255, 190 - 150 * share, 40 + 120 * share, 255 * share * Number(this.#strength.value)], 4 * i);
      });
      canvas.getContext('2d')?.putImageData(image, 0, 0);
      this.#heat = canvas;
    }
    this.#context.stage.draw();
  }

  #overlay(canvas: CanvasRenderingContext2D, { x, y, scale, width, height }: Frame): void {
    if (!this.#entered) return;
    canvas.save();
    if (this.#heat) {
      canvas.imageSmoothingEnabled = true;
      canvas.imageSmoothingQuality = 'high';
      canvas.drawImage(this.#heat, x, y, width * scale, height * scale);
    }
    for (const point of this.#inside?.points ?? []) {
      canvas.beginPath();
      canvas.arc(x + point.x * width * scale, y + point.y * height * scale, 2 + 9 * Math.sqrt(point.weight), 0, 2 * Math.PI);
      canvas.fillStyle = levelColors[point.level] ?? '#fff';
      canvas.globalAlpha = 0.8;
      canvas.fill();
      canvas.globalAlpha = 1;
      canvas.lineWidth = 1;
      canvas.strokeStyle = '#000';
      canvas.stroke();
    }
    canvas.restore();
  }

  #compare(without: readonly Detection[] | null): void {
    const { app } = this.#context;
    const { picture } = app;
    this.#beside.hidden = without === null;
    if (!picture || without === null) {
      this.#changes.replaceChildren(make('li', {}, 'This model has no Association Encoder to leave out.'));
      return;
    }
    const { width, height } = picture.bitmap;
    Object.assign(this.#beside, { width, height });
    const context = this.#beside.getContext('2d');
    context?.drawImage(picture.bitmap, 0, 0);
    const plain = without.filter(({ score, label }) => score >= app.view.threshold && !app.view.hidden.has(label));
    if (context) drawBoxes(context, plain, width, height);
    this.#changes.replaceChildren(...changes(app.visible(), without, app.view.threshold).map(changeRow));
  }
}

interface Change {
  readonly label: string;
  /** Scores; null: not found. */
  readonly before: number | null;
  readonly after: number | null;
}

function overlap(a: Detection['box'], b: Detection['box']): number {
  const w = Math.min(a.xmax, b.xmax) - Math.max(a.xmin, b.xmin);
  const h = Math.min(a.ymax, b.ymax) - Math.max(a.ymin, b.ymin);
  if (w <= 0 || h <= 0) return 0;
  const area = (box: Detection['box']) => (box.xmax - box.xmin) * (box.ymax - box.ymin);
  return (w * h) / (area(a) + area(b) - w * h);
}

/** Pairs what is found with and without the encoder: same label, boxes that overlap by half. Largest change first. */
export function changes(found: readonly Detection[], without: readonly Detection[], threshold: number): Change[] {
  const left = new Set(without);
  const rows: Change[] = found.map((one) => {
    const twin = [...left].find((other) => other.label === one.label && overlap(one.box, other.box) >= 0.5);
    if (twin) left.delete(twin);
    return { label: one.label, before: twin?.score ?? null, after: one.score };
  });
  for (const { label, score } of left) if (score >= threshold) rows.push({ label, before: score, after: null });
  const size = ({ before, after }: Change) => Math.abs((after ?? 0) - (before ?? 0));
  return rows.sort((a, b) => size(b) - size(a)).slice(0, 12);
}

function changeRow({ label, before, after }: Change): HTMLLIElement {
  const swatch = make('span', { className: 'swatch' });
  swatch.style.background = labelColor(label);
  const score = (value: number | null) => (value === null ? 'not found' : percent(value));
  return make('li', {}, swatch, ` ${label}: ${score(before)} without, ${score(after)} with`);
}

export const open: PanelModule['open'] = (root, context) => new InsidePanel(root, context);
