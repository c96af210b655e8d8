/** Ways in for pictures: samples, picker, drop, paste, address; several at once stand in a strip. */
import { decodeImage } from '../src/host/image.ts';
import type { App } from './app.ts';
import { bytes, element, make, percent } from './dom.ts';
import type { Found } from './engine.ts';

export interface SourceHandlers {
  /** A file that is no picture: weights, a film. True: taken. */
  readonly takeOther: (file: File) => boolean;
  /** Gives back those that are labels, which it takes. */
  readonly takeLabels: (files: readonly File[]) => readonly File[];
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
/** Beside the scenes, for weights that know photographs (samples/README.md). */
const photographs = ['cat.jpg', 'coffee.jpg'];

/** Of a folder only the pictures; the rest is somebody else's. */
const picturesOf = (files: readonly File[]): File[] => files.filter(({ type }) => type.startsWith('image/'));

async function filesBelow(folder: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = folder.createReader();
  const files: Promise<File[]>[] = [];
  // A reader gives a hundred at a time, and none at the end.
  for (;;) {
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (entries.length === 0) return (await Promise.all(files)).flat();
    for (const entry of entries) {
      if (entry.isDirectory) files.push(filesBelow(entry as FileSystemDirectoryEntry));
      else files.push(new Promise((resolve, reject) => (entry as FileSystemFileEntry).file((file) => resolve([file]), reject)));
    }
  }
}

export class Sources {
  readonly items: Item[] = [];
  readonly #app: App;
  readonly #handlers: SourceHandlers;
  #asked = 0;

  constructor(app: App, handlers: SourceHandlers) {
    this.#app = app;
    this.#handlers = handlers;
    const picker = element<HTMLInputElement>('image');
    element('open-image').addEventListener('click', () => picker.click());
    picker.addEventListener('change', () => {
      void this.take([...(picker.files ?? [])]);
      picker.value = '';
    });
    const folder = element<HTMLInputElement>('folder');
    folder.webkitdirectory = true;
    element('open-folder').addEventListener('click', () => folder.click());
    folder.addEventListener('change', () => {
      void this.take(picturesOf([...(folder.files ?? [])]));
      folder.value = '';
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
      const entries = [...(event.dataTransfer?.items ?? [])].flatMap((item) => item.webkitGetAsEntry() ?? []);
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length === 0) return;
      event.preventDefault();
      const folders = entries.filter((entry): entry is FileSystemDirectoryEntry => entry.isDirectory);
      if (folders.length === 0) void this.take(files);
      else void this.#app.attempt(async () => this.take(picturesOf((await Promise.all(folders.map(filesBelow))).flat())));
    });
  }

  /** The samples that come with the page; the first one is shown at once. */
  async samples(): Promise<void> {
    const response = await fetch(sampleLabels);
    if (!response.ok) return;
    const { images } = (await response.json()) as { images: readonly { file_name: string }[] };
    const paths = [...images.map(({ file_name: name }) => name), ...photographs.map((name) => `photographs/${name}`)];
    for (const path of paths) {
      const answer = await fetch(`samples/${path}`);
      if (answer.ok) this.#add(await answer.blob(), path.slice(path.indexOf('/') + 1));
    }
    if (this.items[0] && !this.#app.picture) await this.choose(this.items[0]);
  }

  /** Files that were picked, dropped or pasted. */
  async take(files: readonly File[]): Promise<void> {
    const labels = this.#handlers.takeLabels(files);
    const pictures = files.filter((file) => !labels.includes(file) && !this.#handlers.takeOther(file));
    const room = pictures.slice(0, maxItems);
    const items = room.map((file) => this.#add(file, file.name || 'pasted picture'));
    if (items.length < pictures.length) this.#app.emit('said', `Only the first ${maxItems} of ${pictures.length} pictures were taken.`);
    if (items[0]) await this.choose(items[0]);
  }

  async byAddress(address: string): Promise<void> {
    let item: Item | undefined;
    await this.#app.run(`Fetching ${address}`, async () => {
      const { fetchAddress } = await import('./address.ts');
      const file = await fetchAddress(address, {
        onProgress: (loaded, total) =>
          this.#app.emit('work', {
            label: `Fetching ${address}: ${bytes(loaded)}${total ? ` of ${bytes(total)}, ${percent(loaded / total)}` : ''}`,
            fraction: total ? loaded / total : null,
          }),
      });
      item = this.#add(file, new URL(address, location.href).pathname.split('/').pop() || address);
    });
    if (item) await this.choose(item);
  }

  /** Shows it at once, whatever else goes on; the model looks when it is free. */
  async choose(item: Item): Promise<void> {
    this.#handlers.leave();
    const asked = ++this.#asked;
    let bitmap: ImageBitmap | undefined;
    await this.#app.attempt(async () => {
      this.#app.emit('trouble', this.#app.standing);
      bitmap = await decodeImage(item.file, item.name);
    });
    if (!bitmap) return this.#remove(item);
    if (asked !== this.#asked) return bitmap.close();
    this.#mark(item);
    await this.#app.show({ name: item.name, bitmap, live: false });
  }

  /** Has the model look at items that need not be on the stage. @throws BackdropError E_IMAGE, E_GPU_* */
  async *detectAll(items: readonly Item[]): AsyncGenerator<{ item: Item; found: Found }> {
    for (const [i, item] of items.entries()) {
      this.#app.emit('work', { label: `Looking at ${item.name}, ${i + 1} of ${items.length}`, fraction: i / items.length });
      const bitmap = await decodeImage(item.file, item.name);
      yield { item, found: await this.#app.engine.call('detect', { bitmap, inspect: false }, { transfer: [bitmap] }) };
    }
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
