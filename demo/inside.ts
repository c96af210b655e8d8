/** Look inside: the background map, the places the decoder samples for a box, and the detections without the Association Encoder. */
import { openSafetensors } from '../src/checkpoints/index.ts';
import { backgroundEnergy, classHeatmap } from '../src/detector/inspection.ts';
import { BackdropError } from '../src/errors.ts';
import { drawBoxes, labelColor } from '../src/host/image.ts';
import type { Detection, SamplingPoint } from '../src/index.ts';
import { overlap, toXywh } from './boxes.ts';
import { make, percent } from './dom.ts';
import type { Found } from './engine.ts';
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
  #head: Head | null = null;
  #points: readonly SamplingPoint[] = [];
  #compared: Found | null = null;
  #asked = 0;
  #entered = true;
  #mapBefore = false;
  readonly #what = make('select', { id: 'background-what' });
  readonly #note = make('p', { className: 'hint' });
  readonly #box = make('p', { className: 'hint' });
  readonly #beside = make('canvas', { className: 'beside', role: 'img', 'aria-label': 'Detections without the Association Encoder' });
  readonly #changes = make('ul', { className: 'changes', 'aria-label': 'What the background changes' });

  constructor(root: HTMLElement, context: PanelContext) {
    this.#context = context;
    const { app, stage } = context;
    const headFile = make('input', { type: 'file', accept: '.safetensors', id: 'head-file', hidden: true });
    const openFile = make('button', { type: 'button' }, 'Open a head file');
    openFile.addEventListener('click', () => headFile.click());
    headFile.addEventListener('change', () => {
      const file = headFile.files?.[0];
      headFile.value = '';
      if (file) void app.run(`Opening ${file.name}`, async () => this.#useHead(await openHead(file), file.name));
    });
    this.#what.addEventListener('input', () => this.#choose());
    const levels = levelNames.map((name, level) => {
      const swatch = make('span', { className: 'swatch round' });
      swatch.style.background = levelColors[level];
      return make('li', {}, swatch, name);
    });
    root.append(
      make('h2', {}, 'Where the background module looks'),
      make('div', { className: 'row' }, make('label', { htmlFor: 'background-what' }, 'Map'), this.#what),
      this.#note,
      make(
        'div',
        { className: 'row' },
        make('span', { className: 'hint grow' }, 'Class heatmaps need the head of the pre-trained background classifier.'),
        openFile,
        headFile,
      ),
      make('h2', {}, 'Where the decoder looks'),
      this.#box,
      make('ul', { className: 'legend' }, ...levels),
      make('h2', {}, 'Without the Association Encoder'),
      this.#beside,
      this.#changes,
    );
    this.#listWhat();
    stage.overlays.add((canvas, frame) => this.#overlay(canvas, frame));
    app.on('found', () => void this.#look());
    app.on('picture', (picture) => {
      if (!picture?.live) this.#points = [];
    });
    let chosen: Detection | null = null;
    app.on('view', () => {
      if (app.chosen === chosen) return;
      chosen = app.chosen;
      void this.#look();
    });
    this.enter();
  }

  enter(): void {
    this.#entered = true;
    this.#mapBefore = this.#context.app.inspecting;
    this.#context.background.show(true);
    void this.#look();
  }

  leave(): void {
    this.#entered = false;
    this.#context.background.show(this.#mapBefore);
  }

  /** Asks the model; while it looks, only the last question counts. */
  async #look(): Promise<void> {
    const { app, stage } = this.#context;
    const { picture, found } = app;
    if (!this.#entered || !picture || !found?.inspected) return;
    const asked = ++this.#asked;
    const target = app.chosen ?? app.visible()[0] ?? null;
    try {
      const points = target ? await app.engine.call('points', { query: target.query }) : [];
      if (asked !== this.#asked) return;
      this.#points = points;
      this.#describe(target);
      stage.draw();
      if (this.#compared === found) return;
      const bitmap = await createImageBitmap(picture.bitmap);
      const without = await app.engine.call('without', { bitmap }, { transfer: [bitmap] });
      if (asked !== this.#asked) return;
      this.#compared = found;
      this.#compare(without);
    } catch (error) {
      app.report(error);
    }
  }

  #useHead(head: Head, name: string): void {
    const channels = this.#context.app.found?.background?.channels;
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
    this.#what.value = 'class 0';
    this.#choose();
  }

  #listWhat(): void {
    const options = [new Option('Energy: all channels', 'energy')];
    for (let group = 0; group < groups; group++) options.push(new Option(`Channel group ${group + 1} of ${groups}`, `group ${group}`));
    for (let label = 0; label < (this.#head?.classes ?? 0); label++) {
      options.push(new Option(`Class: ${backgroundClasses[label] ?? `class ${label}`}`, `class ${label}`));
    }
    this.#what.replaceChildren(...options);
  }

  #choose(): void {
    const [kind, index] = this.#what.value.split(' ');
    const head = this.#head;
    const at = Number(index);
    const name = this.#what.selectedOptions[0].text;
    this.#context.background.choose(
      kind === 'energy' ? 'Background map' : name,
      kind === 'class' && head
        ? (map) => classHeatmap(map, head.weight, at)
        : (map) => backgroundEnergy(map, kind === 'group' ? at : 0, kind === 'group' ? groups : 1),
    );
  }

  #describe(target: Detection | null): void {
    const background = this.#context.app.found?.background;
    this.#note.textContent = background
      ? `F_b: ${background.width} × ${background.height} places of ${background.channels} channels, beside the picture.`
      : 'This model has no Background Attention Module.';
    this.#box.textContent = target
      ? `${target.label} ${percent(target.score)}: the points that its query reads in the last layer; larger is more weight. Choose another box to see its points.`
      : 'No box to look at.';
  }

  #overlay(canvas: CanvasRenderingContext2D, { x, y, scale, width, height }: Frame): void {
    if (!this.#entered) return;
    canvas.save();
    for (const point of this.#points) {
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

/** Pairs what is found with and without the encoder: same label, boxes that overlap by half. Largest change first. */
export function changes(found: readonly Detection[], without: readonly Detection[], threshold: number): Change[] {
  const left = new Set(without);
  const rows: Change[] = found.map((one) => {
    const twin = [...left].find((other) => other.label === one.label && overlap(toXywh(one.box), toXywh(other.box)) >= 0.5);
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
  const change = make('span', { className: 'size' }, `${score(before)} without → `, make('strong', {}, `${score(after)} with`));
  return make('li', {}, swatch, make('span', { className: 'label' }, label), change);
}

export const open: PanelModule['open'] = (root, context) => new InsidePanel(root, context);
