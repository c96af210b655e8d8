/**
 * Compose a scene: a painted landscape on which objects are put, dragged, grown, turned over and taken away, while the model looks
 * on. On the stage by pointer, in the panel's list by keyboard.
 */
import { type Background, paintBackground } from '../src/data/scenes/background.ts';
import { sceneCategories } from '../src/data/scenes/categories.ts';
import { composeScene } from '../src/data/scenes/compose.ts';
import { plainLook, type SceneObject } from '../src/data/scenes/objects.ts';
import { type Region, regionNames } from '../src/data/scenes/regions.ts';
import { generateScene } from '../src/data/scenes/scene.ts';
import { loadSprites, type Sprites } from '../src/data/scenes/sprites.ts';
import { make } from './dom.ts';
import type { PanelContext, PanelModule } from './panels.ts';
import { drawSpriteIcon } from './sprite-icon.ts';
import type { Frame } from './stage.ts';

/** Pixels across. */
const width = 480;
const seed = 20;
/** A morning with a road, cars on it, and water. */
const firstScene = 5;
const sizes = { least: 0.05, most: 0.6 };

/** A box in pixels of the picture. */
type Bounds = readonly [x: number, y: number, width: number, height: number];

class ComposePanel {
  readonly #context: PanelContext;
  readonly #sprites: Sprites;
  #index = firstScene;
  #background: Background;
  #objects: SceneObject[] = [];
  #selected = -1;
  #shown: ReadonlyMap<number, Bounds> = new Map();
  #drag: { dx: number; dy: number } | null = null;
  #active = false;
  #drawing = false;
  #again = false;
  readonly #list = make('ol', { className: 'detections', 'aria-label': 'Objects in the scene' });
  readonly #title = make('p', { className: 'hint' });
  readonly #tools = make('fieldset', { className: 'row', disabled: true, 'aria-label': 'The chosen object' });

  constructor(root: HTMLElement, context: PanelContext, sprites: Sprites) {
    this.#context = context;
    this.#sprites = sprites;
    this.#background = paintBackground(generateScene(seed, firstScene).landscape, width);
    const button = (text: string, action: () => void, label = text) => {
      const made = make('button', { type: 'button', 'aria-label': label }, text);
      made.addEventListener('click', action);
      return made;
    };
    this.#tools.append(
      button('Larger', () => this.#resize(1.15)),
      button('Smaller', () => this.#resize(1 / 1.15)),
      button('Turn over', () => this.#change((object) => ({ ...object, flip: !object.flip }))),
      button('Other look', () =>
        this.#change((object) => ({ ...object, variant: (object.variant + 1) % this.#sprites[object.label].length })),
      ),
      button('Remove', () => this.#remove()),
    );
    const palette = sceneCategories.map(({ name }, label) => {
      const icon = make('canvas', { width: 68, height: 64 });
      drawSpriteIcon(icon, sprites[label][0]);
      const add = make(
        'button',
        { type: 'button', className: 'sprite', title: `Put a ${name} into the scene` },
        icon,
        make('span', {}, name),
      );
      add.addEventListener('click', () => this.#add(label));
      return make('li', {}, add);
    });
    root.append(
      make('h2', {}, 'Compose a scene'),
      make(
        'p',
        { className: 'hint' },
        'Move a car from the road into the water and watch its score. Drag objects on the picture, or choose one in the list and use the arrow keys.',
      ),
      make(
        'div',
        { className: 'row' },
        button('Next landscape', () => this.#landscape(this.#index + 1, false)),
        button('Other scene', () => this.#landscape(this.#index + 1, true)),
        button('Empty it', () => this.#set([])),
      ),
      this.#title,
      make('ul', { className: 'palette', 'aria-label': 'Put an object into the scene' }, ...palette),
      this.#tools,
      this.#list,
    );
    context.stage.overlays.add((canvas, frame) => this.#overlay(canvas, frame));
    this.#listen();
    this.enter();
  }

  enter(): void {
    this.#context.leave();
    this.#active = true;
    if (this.#objects.length === 0) this.#landscape(this.#index, true);
    else void this.#draw();
  }

  /** The last picture stays on the stage; it is a scene no more. */
  leave(): void {
    this.#active = false;
    this.#selected = -1;
    this.#context.stage.draw();
  }

  /** Another landscape, with the same objects or with its own. */
  #landscape(index: number, own: boolean): void {
    this.#index = index;
    const { landscape, objects } = generateScene(seed, index);
    this.#background = paintBackground(landscape, width);
    this.#title.textContent = `Landscape ${index} of seed ${seed}.`;
    this.#set(own ? [...objects] : this.#objects.map((object) => this.#placed(object)));
  }

  #set(objects: SceneObject[]): void {
    this.#objects = objects;
    this.#selected = Math.min(this.#selected, objects.length - 1);
    this.#describe();
    void this.#draw();
  }

  /** The region under its foot decides whether an object swims, flies or stands. */
  #placed(object: SceneObject): SceneObject {
    const { behind } = this.#background;
    const x = Math.min(behind.width - 1, Math.max(0, Math.floor(object.u * behind.width)));
    const y = Math.min(behind.height - 1, Math.max(0, Math.floor(object.v * behind.width)));
    const place: Region = regionNames[behind.regions[y * behind.width + x]] ?? 'grass';
    return { ...object, place };
  }

  #add(label: number): void {
    const { aspect } = this.#background.landscape;
    const spread = 0.3 + 0.4 * (((this.#objects.length * 0.618) % 1) as number);
    const size = 0.2 * sceneCategories[label].size;
    this.#objects.push(
      this.#placed({ label, variant: 0, u: spread, v: 0.7 * aspect, size, place: 'grass', turn: 0, flip: false, look: plainLook }),
    );
    this.#select(this.#objects.length - 1);
    void this.#draw();
  }

  #remove(): void {
    if (this.#selected < 0) return;
    this.#objects.splice(this.#selected, 1);
    this.#select(Math.min(this.#selected, this.#objects.length - 1));
    void this.#draw();
  }

  #resize(factor: number): void {
    this.#change((object) => ({ ...object, size: Math.min(sizes.most, Math.max(sizes.least, object.size * factor)) }));
  }

  #move(u: number, v: number): void {
    const { aspect } = this.#background.landscape;
    const within = (value: number, most: number) => Math.min(most, Math.max(0, value));
    this.#change((object) => this.#placed({ ...object, u: within(u, 1), v: within(v, aspect) }));
  }

  #change(change: (object: SceneObject) => SceneObject): void {
    const object = this.#objects[this.#selected];
    if (!object) return;
    this.#objects[this.#selected] = change(object);
    this.#describe();
    void this.#draw();
  }

  #select(index: number): void {
    this.#selected = index;
    this.#describe();
    this.#context.stage.draw();
  }

  #describe(): void {
    const rows = this.#objects.map(({ label, place }, i) => {
      const row = make(
        'button',
        { type: 'button', 'aria-pressed': String(i === this.#selected) },
        `${sceneCategories[label].name} (${place})`,
      );
      row.addEventListener('click', () => this.#select(i));
      row.addEventListener('keydown', (event) => this.#key(event, i));
      return make('li', {}, row);
    });
    const focused = [...this.#list.querySelectorAll('button')].indexOf(document.activeElement as HTMLButtonElement);
    this.#list.replaceChildren(...rows);
    if (focused >= 0) this.#list.querySelectorAll('button')[Math.min(focused, rows.length - 1)]?.focus();
    this.#tools.disabled = this.#selected < 0;
  }

  #key(event: KeyboardEvent, index: number): void {
    const step = event.shiftKey ? 0.05 : 0.01;
    const [du, dv] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [0, 0];
    if (event.key === 'Delete') {
      this.#select(index);
      this.#remove();
    } else if (du !== 0 || dv !== 0) {
      this.#selected = index;
      const object = this.#objects[index];
      this.#move(object.u + du, object.v + dv);
    } else return;
    event.preventDefault();
  }

  /** Paints the scene and shows it. While one is painted the changes gather. */
  async #draw(): Promise<void> {
    this.#again = true;
    if (this.#drawing) return;
    this.#drawing = true;
    while (this.#again && this.#active) {
      this.#again = false;
      const picture = composeScene(this.#background, this.#objects, this.#sprites);
      this.#shown = new Map(picture.annotations.map(({ object, box }) => [object, box]));
      const bitmap = await createImageBitmap(new ImageData(picture.rgba, picture.width, picture.height));
      if (!this.#active) {
        bitmap.close();
        break;
      }
      // The model sees the latest scene when it is free; the picture does not wait for it.
      void this.#context.app.showNext({ name: 'scene', bitmap, live: true });
      await new Promise((next) => requestAnimationFrame(next));
    }
    this.#drawing = false;
  }

  #overlay(canvas: CanvasRenderingContext2D, { x, y, scale }: Frame): void {
    const box = this.#active ? this.#shown.get(this.#selected) : undefined;
    if (!box) return;
    canvas.save();
    canvas.setLineDash([5, 4]);
    canvas.lineWidth = 2;
    canvas.strokeStyle = '#fff';
    canvas.strokeRect(x + box[0] * scale - 4, y + box[1] * scale - 4, box[2] * scale + 8, box[3] * scale + 8);
    canvas.restore();
  }

  /** On the stage, before its own listeners: an object under the pointer is dragged, else the picture is. */
  #listen(): void {
    const { stage } = this.#context;
    stage.canvas.addEventListener(
      'pointerdown',
      (event) => {
        const place = this.#active ? stage.locate(event) : null;
        if (!place) return;
        const under = [...this.#shown].filter(([, [x, y, w, h]]) => place.x >= x && place.x < x + w && place.y >= y && place.y < y + h);
        // The nearest is painted last.
        const [index] = under.at(-1) ?? [-1];
        this.#select(index);
        if (index < 0) return;
        event.preventDefault();
        const object = this.#objects[index];
        this.#drag = { dx: object.u - place.x / width, dy: object.v - place.y / width };
        stage.canvas.setPointerCapture(event.pointerId);
      },
      { capture: true },
    );
    stage.canvas.addEventListener('pointermove', (event) => {
      const place = this.#drag ? stage.locate(event) : null;
      if (place && this.#drag) this.#move(place.x / width + this.#drag.dx, place.y / width + this.#drag.dy);
    });
    for (const end of ['pointerup', 'pointercancel'] as const) {
      stage.canvas.addEventListener(end, () => {
        this.#drag = null;
      });
    }
  }
}

export const open: PanelModule['open'] = async (root, context) => {
  const response = await fetch('sprites.png');
  if (!response.ok) throw new Error(`The page's sprites are missing (${response.status}).`);
  return new ComposePanel(root, context, await loadSprites(new Uint8Array(await response.arrayBuffer())));
};
