/**
 * Compose a scene: a painted landscape on which objects are put, dragged, grown, turned over and taken away, while the model looks
 * on. On the stage by pointer, in the panel's list by keyboard. A worker paints.
 */
import { sceneCategories } from '../src/data/scenes/categories.ts';
import { moveObject, plainLook, type SceneObject } from '../src/data/scenes/objects.ts';
import { overlap, toXywh } from './boxes.ts';
import { make, percent } from './dom.ts';
import type { PanelContext, PanelModule } from './panels.ts';
import { WorkerClient } from './rpc.ts';
import type { ComposedScene, Regions, SceneCalls } from './scene-calls.ts';
import type { Frame } from './stage.ts';

/** Pixels across. */
const width = 480;
const seed = 20;
/** A morning with a road, cars on it, and water. */
const firstScene = 5;
const sizes = { least: 0.05, most: 0.6 };

class ComposePanel {
  readonly #context: PanelContext;
  readonly #painter: WorkerClient<SceneCalls>;
  #index = firstScene;
  #ground: Regions | null = null;
  #aspect = 0.75;
  #objects: SceneObject[] = [];
  #selected = -1;
  #shown: ComposedScene['shown'] = [];
  #drag: { dx: number; dy: number } | null = null;
  #active = false;
  #drawing = false;
  #again = false;
  readonly #list = make('ol', { className: 'detections', 'aria-label': 'Objects in the scene' });
  readonly #title = make('p', { className: 'hint' });
  readonly #tools = make('fieldset', { className: 'row small', disabled: true, 'aria-label': 'The chosen object' });

  constructor(root: HTMLElement, context: PanelContext, painter: WorkerClient<SceneCalls>, icons: readonly ImageBitmap[]) {
    this.#context = context;
    this.#painter = painter;
    const button = (text: string, action: () => void, label = text) => {
      const made = make('button', { type: 'button', 'aria-label': label }, text);
      made.addEventListener('click', action);
      return made;
    };
    this.#tools.append(
      button('Larger', () => this.#resize(1.15)),
      button('Smaller', () => this.#resize(1 / 1.15)),
      button('Flip', () => this.#change((object) => ({ ...object, flip: !object.flip })), 'Flip left and right'),
      button('Variant', () =>
        this.#change((object) => ({ ...object, variant: (object.variant + 1) % [...sceneCategories[object.label].variants].length })),
      ),
      button('Remove', () => this.#remove()),
    );
    const palette = sceneCategories.map(({ name }, label) => {
      const words = `Put a ${name} into the scene`;
      const icon = make('canvas', { width: icons[label].width, height: icons[label].height });
      icon.getContext('2d')?.drawImage(icons[label], 0, 0);
      icons[label].close();
      const add = make('button', { type: 'button', className: 'sprite', title: words, 'aria-label': words }, icon);
      add.addEventListener('click', () => this.#add(label));
      return make('li', {}, add);
    });
    root.append(
      make('h2', {}, 'Compose a scene'),
      make(
        'p',
        { className: 'hint' },
        'Drag a car from the road into the water and watch its score; Map shows the background beside it. By keyboard: choose an object in the list, then arrow keys and Delete.',
      ),
      make(
        'div',
        { className: 'row small' },
        button('Next landscape', () => void this.#landscape(this.#index + 1, false)),
        button('Other scene', () => void this.#landscape(this.#index + 1, true)),
        button('Empty', () => this.#set([]), 'Empty the scene'),
      ),
      make('ul', { className: 'palette', 'aria-label': 'Put an object into the scene' }, ...palette),
      this.#tools,
      this.#list,
      this.#title,
    );
    context.stage.overlays.add((canvas, frame) => this.#overlay(canvas, frame));
    context.app.on('found', () => this.#scores());
    context.app.on('view', () => this.#scores());
    this.#listen();
    this.enter();
  }

  enter(): void {
    this.#context.leave();
    this.#active = true;
    if (this.#objects.length === 0) void this.#landscape(this.#index, true);
    else void this.#draw();
  }

  /** The last picture stays on the stage; it is a scene no more. */
  leave(): void {
    this.#active = false;
    this.#selected = -1;
    this.#context.stage.draw();
  }

  /** Another landscape, with the same objects or with its own. */
  async #landscape(index: number, own: boolean): Promise<void> {
    this.#index = index;
    try {
      const { ground, aspect, objects } = await this.#painter.call('landscape', { seed, index, width });
      if (index !== this.#index) return;
      this.#ground = ground;
      this.#aspect = aspect;
      this.#title.textContent = `Landscape ${index} of seed ${seed}.`;
      this.#set(own ? objects : this.#objects.map((object) => moveObject(object, object.u, object.v, ground)));
    } catch (error) {
      this.#context.app.report(error);
    }
  }

  #set(objects: SceneObject[]): void {
    this.#objects = objects;
    this.#selected = Math.min(this.#selected, objects.length - 1);
    this.#describe();
    void this.#draw();
  }

  #add(label: number): void {
    if (!this.#ground) return;
    const u = 0.3 + 0.4 * ((this.#objects.length * 0.618) % 1);
    const size = 0.2 * sceneCategories[label].size;
    const object: SceneObject = { label, variant: 0, u, v: 0, size, place: 'grass', turn: 0, flip: false, look: plainLook };
    this.#selected = this.#objects.length;
    this.#set([...this.#objects, moveObject(object, u, 0.7 * this.#aspect, this.#ground)]);
  }

  #remove(): void {
    if (this.#selected >= 0) this.#set(this.#objects.filter((_, i) => i !== this.#selected));
  }

  #resize(factor: number): void {
    this.#change((object) => ({ ...object, size: Math.min(sizes.most, Math.max(sizes.least, object.size * factor)) }));
  }

  #move(u: number, v: number): void {
    const ground = this.#ground;
    const within = (value: number, most: number) => Math.min(most, Math.max(0, value));
    if (ground) this.#change((object) => moveObject(object, within(u, 1), within(v, this.#aspect), ground));
  }

  #change(change: (object: SceneObject) => SceneObject): void {
    const object = this.#objects[this.#selected];
    if (object) this.#set(this.#objects.with(this.#selected, change(object)));
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
        make('span', { className: 'label' }, sceneCategories[label].name),
        make('span', { className: 'size' }, place),
        make('span', { className: 'score' }),
      );
      row.addEventListener('click', () => this.#select(i));
      row.addEventListener('keydown', (event) => this.#key(event, i));
      return make('li', {}, row);
    });
    const focused = [...this.#list.querySelectorAll('button')].indexOf(document.activeElement as HTMLButtonElement);
    this.#list.replaceChildren(...rows);
    if (focused >= 0) this.#list.querySelectorAll('button')[Math.min(focused, rows.length - 1)]?.focus();
    this.#tools.disabled = this.#selected < 0;
    this.#scores();
  }

  /** Beside each object the best score of its class where it stands, whatever the threshold. */
  #scores(): void {
    if (!this.#active) return;
    const found = this.#context.app.found?.detections ?? [];
    this.#list.querySelectorAll('.score').forEach((cell, i) => {
      const { name } = sceneCategories[this.#objects[i].label];
      const box = this.#shown.find(({ object }) => object === i)?.box;
      const best = box && found.find((one) => one.label === name && overlap(toXywh(one.box), box) >= 0.5);
      cell.textContent = !box ? 'hidden' : best ? percent(best.score) : 'not found';
      cell.classList.toggle('faint', !best || best.score < this.#context.app.view.threshold);
    });
  }

  #key(event: KeyboardEvent, index: number): void {
    const step = event.shiftKey ? 0.05 : 0.01;
    const [du, dv] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] ?? [0, 0];
    if (event.key === 'Delete') {
      this.#selected = index;
      this.#remove();
    } else if (du !== 0 || dv !== 0) {
      this.#selected = index;
      const object = this.#objects[index];
      this.#move(object.u + du, object.v + dv);
    } else return;
    event.preventDefault();
  }

  /** Has the scene painted and shows it. While one is painted the changes gather. */
  async #draw(): Promise<void> {
    this.#again = true;
    if (this.#drawing) return;
    this.#drawing = true;
    const { app } = this.#context;
    try {
      while (this.#again && this.#active) {
        this.#again = false;
        const { bitmap, shown } = await this.#painter.call('compose', { objects: this.#objects });
        if (!this.#active) {
          bitmap.close();
          break;
        }
        this.#shown = shown;
        // The model sees the latest scene when it is free; the picture does not wait for it.
        void app.showNext({ name: 'scene', bitmap, live: true });
      }
    } catch (error) {
      app.report(error);
    } finally {
      this.#drawing = false;
    }
  }

  #overlay(canvas: CanvasRenderingContext2D, { x, y, scale }: Frame): void {
    const box = this.#active ? this.#shown.find(({ object }) => object === this.#selected)?.box : undefined;
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
        // The nearest is painted last.
        const under = this.#shown.findLast(({ box: [x, y, w, h] }) => place.x >= x && place.x < x + w && place.y >= y && place.y < y + h);
        this.#select(under?.object ?? -1);
        if (!under) return;
        event.preventDefault();
        const object = this.#objects[under.object];
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
  const painter = new WorkerClient<SceneCalls>(new Worker(new URL('scene-worker.js', import.meta.url), { type: 'module' }));
  return new ComposePanel(root, context, painter, await painter.call('icons', null));
};
