/** Ways in for pictures: samples, picker, drop, paste, address; several at once stand in a strip. */
import { decodeImage } from '../src/host/image.ts';
import { fetchAddress } from './address.ts';
import type { App } from './app.ts';
import { bytes, element, make } from './dom.ts';
import type { Found } from './engine.ts';

export interface SourceHandlers {
  /** A file that is no picture: weights, labels, a film. True: taken. */
  readonly takeOther: (file: File) => boolean;
  /** Called before a picture of another kind comes onto the stage, so that camera, film and scene end. */
  readonly leave: () => void;
}

/** A picture in the strip. */
export interface Item {
  readonly name: string;
  readonly file: Blob;
  readonly button: HTMLButtonElement;
}

const maxItems = 500;

/** COCO labels of the sample scenes, which also name them. */
export const sampleLabels = 'samples/test.json';

export class Sources {
  readonly items: Item[] = [];
  readonly #app: App;
  readonly #handlers: SourceHandlers;

  constructor(app: App, handlers: SourceHandlers) {
    this.#app = app;
    this.#handlers = handlers;
    const picker = element<HTMLInputElement>('image');
    element('open-image').addEventListener('click', () => picker.click());
    picker.addEventListener('change', () => {
      void this.take([...(picker.files ?? [])]);
      picker.value = '';
    });
    app.on('picture', (picture) => {
      // Camera, film and scene are none of the strip's.
      if (picture?.live) this.#mark(null);
    });
    const address = element<HTMLFormElement>('address-form');
    address.addEventListener('submit', (event) => {
      event.preventDefault();
      const input = element<HTMLInputElement>('address');
      if (input.value.trim() !== '') void this.byAddress(input.value.trim());
    });
    addEventListener('paste', (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length > 0) void this.take(files);
    });
    addEventListener('dragover', (event) => {
      if (!event.dataTransfer?.types.includes('Files')) return;
      event.preventDefault();
      document.body.classList.add('dropping');
    });
    addEventListener('dragleave', (event) => {
      if (event.relatedTarget === null) document.body.classList.remove('dropping');
    });
    addEventListener('drop', (event) => {
      document.body.classList.remove('dropping');
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length === 0) return;
      event.preventDefault();
      void this.take(files);
    });
  }

  /** The samples that come with the page; the first one is shown at once. */
  async samples(): Promise<void> {
    const response = await fetch(sampleLabels);
    if (!response.ok) return;
    const { images } = (await response.json()) as { images: readonly { file_name: string }[] };
    for (const { file_name: name } of images) {
      const answer = await fetch(`samples/${name}`);
      if (answer.ok) this.#add(await answer.blob(), name);
    }
    if (this.items[0] && !this.#app.picture) await this.choose(this.items[0]);
  }

  /** Files that were picked, dropped or pasted. */
  async take(files: readonly File[]): Promise<void> {
    const pictures = files.filter((file) => !this.#handlers.takeOther(file));
    const room = pictures.slice(0, maxItems);
    const items = room.map((file) => this.#add(file, file.name || 'pasted picture'));
    if (items.length < pictures.length) this.#app.emit('said', `Only the first ${maxItems} of ${pictures.length} pictures were taken.`);
    if (items[0]) await this.choose(items[0]);
  }

  async byAddress(address: string): Promise<void> {
    let item: Item | undefined;
    await this.#app.run(`Fetching ${address}`, async () => {
      const file = await fetchAddress(address, {
        onProgress: (loaded, total) =>
          this.#app.emit('work', {
            label: `Fetching ${address}: ${bytes(loaded)}${total ? ` of ${bytes(total)}` : ''}`,
            fraction: total ? loaded / total : null,
          }),
      });
      item = this.#add(file, new URL(address, location.href).pathname.split('/').pop() || address);
    });
    if (item) await this.choose(item);
  }

  async choose(item: Item): Promise<void> {
    this.#handlers.leave();
    let bitmap: ImageBitmap | undefined;
    await this.#app.run(`Opening ${item.name}`, async () => {
      bitmap = await decodeImage(item.file, item.name);
    });
    if (!bitmap) {
      this.#remove(item);
      return;
    }
    this.#mark(item);
    await this.#app.show({ name: item.name, bitmap, live: false });
  }

  /** Has the model look at an item that is not on the stage. @throws BackdropError E_IMAGE, E_GPU_* */
  async detect({ file, name }: Item): Promise<Found> {
    const bitmap = await decodeImage(file, name);
    return this.#app.engine.call('detect', { bitmap }, { transfer: [bitmap] });
  }

  #add(file: Blob, name: string): Item {
    const image = make('img', { src: URL.createObjectURL(file), alt: '', loading: 'lazy', decoding: 'async' });
    const button = make('button', { type: 'button', title: name, 'aria-pressed': 'false' }, image, make('span', {}, name));
    const item: Item = { name, file, button };
    button.addEventListener('click', () => void this.choose(item));
    this.items.push(item);
    element('strip').append(make('li', {}, button));
    return item;
  }

  #mark(item: Item | null): void {
    for (const { button } of this.items) button.setAttribute('aria-pressed', String(button === item?.button));
  }

  #remove(item: Item): void {
    const index = this.items.indexOf(item);
    if (index >= 0) this.items.splice(index, 1);
    item.button.parentElement?.remove();
  }
}
