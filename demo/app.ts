/** What the page's parts share: the picture, the model, what was found, what is shown of it, and the queue of work. */
import type { Detection } from '../src/index.ts';
import { type Engine, type Found, leastScore, type ModelSummary, type OpenRequest, startEngine } from './engine.ts';
import { type Trouble, troubleOf } from './trouble.ts';

export interface Picture {
  readonly name: string;
  readonly bitmap: ImageBitmap;
  /** A frame of a camera or film, or of the scene one is composing: the next one follows soon. */
  readonly live: boolean;
}

/** What is shown of what was found. Changing it never runs the model. */
export interface View {
  /** Least score. */
  threshold: number;
  /** Most boxes. */
  limit: number;
  /** Classes that are hidden. */
  readonly hidden: Set<string>;
}

interface Events {
  /** A model was loaded, or none is. */
  model: ModelSummary | null;
  /** Another picture stands on the stage; nothing is known of it yet. */
  picture: Picture | null;
  /** The model has looked at the picture. */
  found: Found;
  /** Threshold, classes, limit, or the chosen box changed. */
  view: null;
  trouble: Trouble | null;
  /** What goes on, in words; null: nothing. */
  work: { label: string; fraction: number | null } | null;
  /** Said to everybody, screen readers included. */
  said: string;
}

export class App {
  readonly engine: Engine = startEngine();
  readonly view: View = { threshold: 0.5, limit: 100, hidden: new Set() };
  model: ModelSummary | null = null;
  /** The file it came from. */
  modelFile: { readonly file: Blob; readonly name: string } | null = null;
  picture: Picture | null = null;
  found: Found | null = null;
  /** The box one points at or has chosen. */
  pointed: Detection | null = null;
  chosen: Detection | null = null;
  readonly #listeners = new Map<keyof Events, Set<(value: never) => void>>();
  /** Inner results are wanted: the background map is shown. */
  inspecting = false;
  /** A trouble that other work does not clear: there is no graphics device. */
  standing: Trouble | null = null;
  #opening: AbortController | undefined;
  #queue: Promise<void> = Promise.resolve();
  #looking = false;
  #again = false;

  on<K extends keyof Events>(name: K, listener: (value: Events[K]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener as (value: never) => void);
    return () => void listeners.delete(listener as (value: never) => void);
  }

  emit<K extends keyof Events>(name: K, value: Events[K]): void {
    for (const listener of this.#listeners.get(name) ?? []) (listener as (value: Events[K]) => void)(value);
  }

  /** One piece of work after the other; errors become words on the page. */
  run(label: string, work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(async () => {
      this.emit('trouble', this.standing);
      this.emit('work', { label, fraction: null });
      try {
        await work();
      } catch (error) {
        this.report(error);
      } finally {
        this.emit('work', null);
      }
    });
    this.#queue = done;
    return done;
  }

  /** Work that waits for nothing and shows no progress; errors become words on the page. */
  async attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.report(error);
    }
  }

  report(error: unknown): void {
    if ((error as Error)?.name === 'AbortError') return;
    const trouble = troubleOf(error);
    this.emit('trouble', trouble);
    this.emit('said', trouble.title);
  }

  /** Loads a model. Another call ends the one before. */
  open(request: OpenRequest): Promise<void> {
    this.#opening?.abort(new DOMException('another model was chosen', 'AbortError'));
    const abort = new AbortController();
    this.#opening = abort;
    return this.run(`Opening ${request.name}`, async () => {
      abort.signal.throwIfAborted();
      this.model = null;
      this.modelFile = null;
      this.found = null;
      this.emit('model', null);
      const model = await this.engine.call('open', request, {
        signal: abort.signal,
        onProgress: ({ stage, fraction }) => {
          const label = { reading: 'Reading', weights: 'Loading weights of', kernels: 'Compiling kernels for' }[stage];
          this.emit('work', { label: `${label} ${request.name}`, fraction });
        },
      });
      this.model = model;
      this.modelFile = { file: request.file, name: request.name };
      for (const name of this.view.hidden) if (!model.classes.includes(name)) this.view.hidden.delete(name);
      this.emit('model', model);
      this.emit('said', `${model.name} is ready on ${model.adapter.name}.`);
      if (this.picture) await this.#look();
    });
  }

  /** Puts a picture on the stage and looks at it. It belongs to the app from here on. */
  show(picture: Picture): Promise<void> {
    this.picture?.bitmap.close();
    this.picture = picture;
    this.found = null;
    this.chosen = null;
    this.pointed = null;
    this.emit('picture', picture);
    return this.look();
  }

  /** A next frame: what was found in the last one stays until the model has looked at this one. */
  showNext(picture: Picture): Promise<void> {
    this.picture?.bitmap.close();
    this.picture = picture;
    this.emit('picture', picture);
    return this.look();
  }

  /** Has the model look at the picture. Frames that come while it looks replace each other: the latest is seen. */
  async look(): Promise<void> {
    if (!this.model || !this.picture) return;
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    try {
      while (this.#again) {
        this.#again = false;
        if (this.picture?.live) await this.#look().catch((error) => this.report(error));
        else await this.run('Detecting', () => this.#look());
      }
    } finally {
      this.#looking = false;
    }
  }

  async #look(): Promise<void> {
    const { picture } = this;
    if (!picture) return;
    const bitmap = await createImageBitmap(picture.bitmap);
    const found = await this.engine.call('detect', { bitmap, inspect: this.inspecting }, { transfer: [bitmap] });
    if (this.picture !== picture && !this.picture?.live) return;
    this.found = found;
    this.chosen = null;
    this.pointed = null;
    this.emit('found', found);
    if (found.recovered) this.emit('said', 'The graphics device was lost and has been opened again.');
    else if (!picture.live) this.emit('said', countWords(this.visible().length));
  }

  setInspecting(on: boolean): void {
    this.inspecting = on;
    if (on && !this.found?.inspected) void this.look();
  }

  /** What is shown, strongest first. */
  visible(found: readonly Detection[] = this.found?.detections ?? []): Detection[] {
    const { threshold, limit, hidden } = this.view;
    return found.filter(({ score, label }) => score >= Math.max(threshold, leastScore) && !hidden.has(label)).slice(0, limit);
  }

  setView(change: Partial<Pick<View, 'threshold' | 'limit'>>): void {
    Object.assign(this.view, change);
    this.emit('view', null);
  }

  point(detection: Detection | null): void {
    if (this.pointed === detection) return;
    this.pointed = detection;
    this.emit('view', null);
  }

  choose(detection: Detection | null): void {
    this.chosen = detection;
    this.emit('view', null);
  }
}

export const countWords = (count: number): string => (count === 0 ? 'No objects' : count === 1 ? '1 object' : `${count} objects`);
