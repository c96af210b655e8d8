/** Compare with labels: right, wrong and missed boxes in colour, and the metrics of all open pictures. */
import type { Annotation, Category, ImageRecord } from '../src/data/dataset.ts';
import { filesDirectory } from '../src/data/directory.ts';
import { openDataset } from '../src/data/open.ts';
import { BackdropError } from '../src/errors.ts';
import { type EvaluatedDetection, evaluateDetections } from '../src/evaluation/coco.ts';
import { boxIou, type XYWH } from '../src/evaluation/match.ts';
import type { Detection } from '../src/index.ts';
import { toXywh } from './boxes.ts';
import { make, percent } from './dom.ts';
import type { PanelContext, PanelModule } from './panels.ts';
import { sampleLabels } from './sources.ts';
import type { Frame } from './stage.ts';

/** IoU from which a box is right. */
const rightFrom = 0.5;
const colors = { right: '#1f9d55', wrong: '#d64545', missed: '#e3a008' };

interface Labels {
  readonly categories: readonly Category[];
  /** By the picture's name. */
  readonly records: ReadonlyMap<string, ImageRecord>;
}

export interface Judgement {
  readonly right: readonly Detection[];
  readonly wrong: readonly Detection[];
  readonly missed: readonly Annotation[];
}

/** COCO's greedy matching at IoU 0.5, strongest first, within a class. Crowds excuse what lies on them and are never missed. */
export function judge(found: readonly Detection[], { annotations }: ImageRecord, categories: readonly Category[]): Judgement {
  const free = new Set(annotations.filter(({ crowd }) => !crowd));
  const crowds = annotations.filter(({ crowd }) => crowd);
  const right: Detection[] = [];
  const wrong: Detection[] = [];
  for (const one of found) {
    const box = toXywh(one.box);
    const same = ({ label }: Annotation) => categories[label]?.name === one.label;
    let best: { object: Annotation; iou: number } | null = null;
    for (const object of free) {
      const iou = same(object) ? boxIou(box, object.box, false) : 0;
      if (iou >= rightFrom && iou >= (best?.iou ?? 0)) best = { object, iou };
    }
    if (best) {
      free.delete(best.object);
      right.push(one);
    } else if (!crowds.some((crowd) => same(crowd) && boxIou(box, crowd.box, true) >= rightFrom)) wrong.push(one);
  }
  return { right, wrong, missed: [...free] };
}

class LabelsPanel {
  readonly #context: PanelContext;
  #labels: Labels | null = null;
  #entered = true;
  readonly #said = make('p', { className: 'hint' }, 'COCO JSON, YOLO or Pascal VOC, for pictures that are open. They stay here.');
  readonly #counts = make('p');
  readonly #lines = make('pre', { className: 'metrics', tabIndex: 0, hidden: true });
  readonly #all = make('button', { type: 'button', disabled: true }, 'Measure all open pictures');

  constructor(root: HTMLElement, context: PanelContext) {
    this.#context = context;
    const files = make('input', { type: 'file', multiple: true, hidden: true, accept: '.json,.yaml,.yml,.txt,.xml', id: 'labels-file' });
    const pick = make('button', { type: 'button' }, 'Open labels');
    pick.addEventListener('click', () => files.click());
    files.addEventListener('change', () => {
      const chosen = [...(files.files ?? [])];
      files.value = '';
      this.take(chosen);
    });
    const own = make('button', { type: 'button' }, "The samples' labels");
    own.addEventListener('click', () => {
      void context.app.run('Reading labels', async () => {
        const response = await fetch(sampleLabels);
        await this.#read([new File([await response.blob()], 'test.json')]);
      });
    });
    this.#all.addEventListener('click', () => void context.app.run('Measuring', () => this.#measure()));
    const legend = Object.entries(colors).map(([name, color]) => {
      const swatch = make('span', { className: 'swatch' });
      swatch.style.background = color;
      return make('li', {}, swatch, ` ${name}`);
    });
    root.append(
      make('h2', {}, 'Compare with labels'),
      make('div', { className: 'row' }, pick, files, own, this.#all),
      this.#said,
      make('ul', { className: 'legend' }, ...legend),
      this.#counts,
      this.#lines,
    );
    context.stage.overlays.add((canvas, frame) => this.#overlay(canvas, frame));
    for (const event of ['found', 'view', 'picture'] as const) context.app.on(event, () => this.#count());
  }

  take(files: readonly File[]): void {
    if (files.length > 0) void this.#context.app.run('Reading labels', () => this.#read(files));
  }

  enter(): void {
    this.#entered = true;
    this.#context.stage.boxes = this.#labels === null;
    this.#count();
  }

  leave(): void {
    this.#entered = false;
    this.#context.stage.boxes = true;
    this.#context.stage.draw();
  }

  async #read(files: readonly File[]): Promise<void> {
    const { items } = this.#context.sources;
    const pictures = items.map(({ name, file }) => ({ path: name, file }));
    const labels = files.map((file) => ({ path: file.webkitRelativePath || file.name, file }));
    const { dataset } = await openDataset(filesDirectory([...labels, ...pictures])).catch((cause: Error) => {
      throw new BackdropError('E_DATA', `These labels do not go with the ${items.length} open pictures: ${cause.message}.`, {
        cause,
        hint: 'Open the pictures first. They are told by their file names.',
      });
    });
    const records = new Map([...dataset.splits.values()].flat().map((record) => [record.file.split('/').pop() ?? record.file, record]));
    const known = items.filter(({ name }) => records.has(name)).length;
    const names = new Set(dataset.categories.map(({ name }) => name));
    const shared = this.#context.app.model?.classes.filter((name) => names.has(name)).length ?? 0;
    if (shared === 0) {
      throw new BackdropError('E_DATA', `The labels' classes (${[...names].slice(0, 5).join(', ')}) are none of the model's.`, {
        hint: 'Open a model that was trained on these classes; names must be the same.',
      });
    }
    this.#labels = { categories: dataset.categories, records };
    this.#said.textContent = `Labels for ${known} of ${items.length} open pictures; ${shared} of ${names.size} classes are the model's.`;
    this.#all.disabled = false;
    this.enter();
  }

  #judge(): Judgement | null {
    const { app } = this.#context;
    const record = app.picture && this.#labels?.records.get(app.picture.name);
    return record && this.#labels && app.found ? judge(app.visible(), record, this.#labels.categories) : null;
  }

  #count(): void {
    const judgement = this.#judge();
    this.#counts.textContent = judgement
      ? `This picture at ${percent(this.#context.app.view.threshold)}: ${judgement.right.length} right, ${judgement.wrong.length} wrong, ${judgement.missed.length} missed.`
      : this.#labels
        ? 'This picture has no labels.'
        : '';
    if (this.#entered) this.#context.stage.boxes = judgement === null;
    this.#context.stage.draw();
  }

  #overlay(canvas: CanvasRenderingContext2D, { x, y, scale }: Frame): void {
    const judgement = this.#entered ? this.#judge() : null;
    if (!judgement) return;
    const draw = (color: string, [bx, by, w, h]: XYWH, text: string, dash: number[]) => {
      canvas.setLineDash(dash);
      canvas.strokeStyle = color;
      canvas.lineWidth = 3;
      canvas.strokeRect(x + bx * scale, y + by * scale, w * scale, h * scale);
      canvas.font = '600 12px system-ui, sans-serif';
      const width = canvas.measureText(text).width + 8;
      canvas.fillStyle = color;
      canvas.fillRect(x + bx * scale, y + by * scale, width, 17);
      canvas.fillStyle = color === colors.missed ? '#000' : '#fff';
      canvas.fillText(text, x + bx * scale + 4, y + by * scale + 12.5);
    };
    canvas.save();
    for (const { label, box, score } of judgement.right) draw(colors.right, toXywh(box), `${label} ${percent(score)}`, []);
    for (const { label, box, score } of judgement.wrong) draw(colors.wrong, toXywh(box), `${label} ${percent(score)}`, []);
    for (const { label, box } of judgement.missed) draw(colors.missed, box, this.#labels?.categories[label]?.name ?? '', [6, 4]);
    canvas.restore();
  }

  /** The model looks at every open picture that has labels; then COCO's twelve numbers. */
  async #measure(): Promise<void> {
    const { app, sources } = this.#context;
    const labels = this.#labels;
    if (!labels) return;
    const items = sources.items.filter(({ name }) => labels.records.has(name));
    const position = new Map(labels.categories.map(({ name }, label) => [name, label]));
    const detections: EvaluatedDetection[] = [];
    const records: ImageRecord[] = [];
    for await (const { item, found } of sources.detectAll(items)) {
      const record = labels.records.get(item.name)!;
      records.push(record);
      for (const { label, score, box } of found.detections) {
        const known = position.get(label);
        if (known !== undefined) detections.push({ imageId: record.id, label: known, score, box: toXywh(box) });
      }
    }
    const { lines } = evaluateDetections(records, labels.categories, detections);
    this.#lines.hidden = false;
    this.#lines.textContent = lines.join('\n');
    app.emit('said', `Measured ${records.length} pictures.`);
  }
}

export const open: PanelModule['open'] = (root, context) => new LabelsPanel(root, context);
