/**
 * The stage: the picture with its boxes, zoomed and moved by wheel, fingers, buttons or keys. Boxes are drawn in screen pixels, so
 * lines and letters keep their size. Other parts lay their own drawings over the picture.
 */

import { labelColor, letterColor } from '../src/host/image.ts';
import type { Detection } from '../src/index.ts';
import type { App } from './app.ts';
import { element, percent } from './dom.ts';

/** From pixels of the picture to CSS pixels of the canvas. */
export interface Frame {
  readonly scale: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export type Overlay = (context: CanvasRenderingContext2D, frame: Frame) => void;

const maxZoom = 16;

export class Stage {
  readonly canvas = element<HTMLCanvasElement>('canvas');
  /** Drawn over the picture and under the boxes, in the order they were added. */
  readonly overlays = new Set<Overlay>();
  /** False where a part draws boxes of its own. */
  boxes = true;
  readonly #app: App;
  #zoom = 1;
  /** Point of the picture at the canvas's middle, in 0..1. */
  #middle = { x: 0.5, y: 0.5 };
  #asked = false;
  readonly #pointers = new Map<number, { x: number; y: number }>();

  constructor(app: App) {
    this.#app = app;
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    app.on('picture', (picture) => {
      if (!picture?.live) this.reset();
      this.draw();
    });
    for (const event of ['found', 'view', 'model'] as const) app.on(event, () => this.draw());
    this.#listen();
  }

  /** Draws before the next frame of the screen, once however often it is asked. */
  draw(): void {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#paint();
    });
  }

  reset(): void {
    this.#zoom = 1;
    this.#middle = { x: 0.5, y: 0.5 };
    this.draw();
  }

  /** Zooms by a factor about a point of the canvas (its middle when left out). */
  zoom(factor: number, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2): void {
    const before = this.frame();
    if (!before) return;
    const point = { x: (x - before.x) / before.scale, y: (y - before.y) / before.scale };
    this.#zoom = Math.min(maxZoom, Math.max(1, this.#zoom * factor));
    const after = this.frame()!;
    this.move(x - (after.x + point.x * after.scale), y - (after.y + point.y * after.scale));
  }

  /** Moves the picture by CSS pixels. */
  move(x: number, y: number): void {
    const frame = this.frame();
    if (!frame) return;
    const half = 0.5 / this.#zoom;
    const clamp = (value: number) => Math.min(1 - half, Math.max(half, value));
    this.#middle = {
      x: clamp(this.#middle.x - x / (frame.scale * frame.width)),
      y: clamp(this.#middle.y - y / (frame.scale * frame.height)),
    };
    this.draw();
  }

  frame(): Frame | null {
    const { picture } = this.#app;
    if (!picture) return null;
    const { width, height } = picture.bitmap;
    const { clientWidth, clientHeight } = this.canvas;
    const scale = Math.min(clientWidth / width, clientHeight / height) * this.#zoom;
    return {
      ...{ scale, width, height },
      x: clientWidth / 2 - this.#middle.x * width * scale,
      y: clientHeight / 2 - this.#middle.y * height * scale,
    };
  }

  /** A pixel for each of the screen's, coordinates in CSS pixels, and nothing drawn. */
  fit(canvas: HTMLCanvasElement, context: CanvasRenderingContext2D): void {
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  }

  /** A place on the canvas in pixels of the picture. */
  locate(event: { clientX: number; clientY: number }): { x: number; y: number } | null {
    const frame = this.frame();
    if (!frame) return null;
    const { left, top } = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - left - frame.x) / frame.scale, y: (event.clientY - top - frame.y) / frame.scale };
  }

  #paint(): void {
    const { canvas } = this;
    const context = canvas.getContext('2d');
    const { picture } = this.#app;
    const frame = this.frame();
    if (!context) return;
    this.fit(canvas, context);
    if (!picture || !frame) return;
    context.imageSmoothingEnabled = frame.scale < 3;
    context.drawImage(picture.bitmap, frame.x, frame.y, frame.width * frame.scale, frame.height * frame.scale);
    for (const overlay of this.overlays) overlay(context, frame);
    const visible = this.#app.visible();
    if (this.boxes) this.#drawBoxes(context, frame, visible);
    const words = visible.map(({ label, score }) => `${label} ${percent(score)}`).join(', ');
    canvas.setAttribute('aria-label', `${picture.name}: ${words || 'no objects'}`);
  }

  #drawBoxes(context: CanvasRenderingContext2D, frame: Frame, visible: readonly Detection[]): void {
    const { chosen, pointed } = this.#app;
    const strong = pointed ?? chosen;
    // Weakest first, so that the strongest, and the one pointed at, lie on top.
    const order = [...visible].reverse().sort((a, b) => Number(a === strong) - Number(b === strong));
    context.save();
    context.beginPath();
    context.rect(frame.x, frame.y, frame.width * frame.scale, frame.height * frame.scale);
    context.clip();
    for (const detection of order) {
      context.globalAlpha = strong && detection !== strong ? 0.35 : 1;
      drawBox(context, frame, detection, this.canvas, detection === strong);
    }
    context.restore();
  }

  /** The strongest, else smallest, visible box under a place. */
  at(event: { clientX: number; clientY: number }): Detection | null {
    const place = this.locate(event);
    if (!place) return null;
    const inside = this.#app
      .visible()
      .filter(({ box }) => place.x >= box.xmin && place.x <= box.xmax && place.y >= box.ymin && place.y <= box.ymax);
    const area = ({ box }: Detection) => (box.xmax - box.xmin) * (box.ymax - box.ymin);
    return inside.sort((a, b) => area(a) - area(b))[0] ?? null;
  }

  #listen(): void {
    const { canvas } = this;
    let moved = 0;
    canvas.addEventListener('wheel', (event) => {
      event.preventDefault();
      const { left, top } = canvas.getBoundingClientRect();
      this.zoom(Math.exp(-event.deltaY / 300), event.clientX - left, event.clientY - top);
    });
    canvas.addEventListener('pointerdown', (event) => {
      if (event.defaultPrevented) return;
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      moved = 0;
    });
    canvas.addEventListener('pointermove', (event) => {
      const before = this.#pointers.get(event.pointerId);
      if (!before) {
        this.#app.point(this.at(event));
        return;
      }
      const others = [...this.#pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const now = { x: event.clientX, y: event.clientY };
      moved += Math.hypot(now.x - before.x, now.y - before.y);
      this.#pointers.set(event.pointerId, now);
      if (others.length === 1) {
        const distance = (place: { x: number; y: number }) => Math.hypot(place.x - others[0].x, place.y - others[0].y);
        const { left, top } = canvas.getBoundingClientRect();
        this.zoom(distance(now) / Math.max(1, distance(before)), (now.x + others[0].x) / 2 - left, (now.y + others[0].y) / 2 - top);
      } else this.move(now.x - before.x, now.y - before.y);
    });
    const end = (event: PointerEvent) => {
      const known = this.#pointers.delete(event.pointerId);
      if (known && event.type === 'pointerup' && moved < 4) {
        const box = this.at(event);
        this.#app.choose(box === this.#app.chosen ? null : box);
      }
    };
    canvas.addEventListener('pointerup', end);
    canvas.addEventListener('pointercancel', end);
    canvas.addEventListener('pointerleave', () => this.#app.point(null));
    canvas.addEventListener('dblclick', () => this.reset());
    canvas.addEventListener('keydown', (event) => {
      const keys: Record<string, () => void> = {
        '+': () => this.zoom(1.25),
        '=': () => this.zoom(1.25),
        '-': () => this.zoom(0.8),
        '0': () => this.reset(),
        ArrowLeft: () => this.move(40, 0),
        ArrowRight: () => this.move(-40, 0),
        ArrowUp: () => this.move(0, 40),
        ArrowDown: () => this.move(0, -40),
      };
      const action = event.defaultPrevented || event.ctrlKey || event.metaKey ? undefined : keys[event.key];
      if (!action) return;
      event.preventDefault();
      action();
    });
  }
}

function drawBox(context: CanvasRenderingContext2D, frame: Frame, detection: Detection, canvas: HTMLElement, strong: boolean): void {
  const { label, score, box } = detection;
  const x = frame.x + box.xmin * frame.scale;
  const y = frame.y + box.ymin * frame.scale;
  context.lineWidth = strong ? 4 : 2.5;
  context.strokeStyle = labelColor(label);
  context.strokeRect(x, y, (box.xmax - box.xmin) * frame.scale, (box.ymax - box.ymin) * frame.scale);
  context.font = '600 13px system-ui, sans-serif';
  context.textBaseline = 'middle';
  const text = `${label} ${percent(score)}`;
  const size = { width: context.measureText(text).width + 8, height: 19 };
  // Kept inside what is seen of the picture.
  const left = Math.max(0, frame.x);
  const right = Math.min(canvas.clientWidth, frame.x + frame.width * frame.scale);
  const top = Math.max(0, frame.y);
  const tagX = Math.max(left, Math.min(x - context.lineWidth / 2, right - size.width));
  const tagY = y - size.height >= top ? y - size.height : Math.max(top, y);
  context.fillStyle = labelColor(label);
  context.fillRect(tagX, tagY, size.width, size.height);
  context.fillStyle = letterColor(label);
  context.fillText(text, tagX + 4, tagY + size.height / 2 + 0.5);
}
