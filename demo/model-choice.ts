/** Which model looks: the embedded one, a file of one's own, or one by address (kept for the next time). */
import type { App } from './app.ts';
import { bytes, element, make, percent, setChip } from './dom.ts';
import { inputSizes, type OpenRequest } from './engine.ts';
import { deleteModel, modelByAddress, storageEstimate, storedModels } from './storage.ts';

const embeddedName = 'association-detr-nano';
export const embeddedModel = `model/${embeddedName}.safetensors`;

export class ModelChoice {
  readonly #app: App;
  /** What was opened last, so that another size or architecture opens it again. */
  #file: Pick<OpenRequest, 'file' | 'name'> | null = null;
  /** Its address, for the page's own address. */
  address: string | null = null;

  constructor(app: App) {
    this.#app = app;
    const architecture = element<HTMLSelectElement>('architecture');
    void app.engine.call('architectures', null).then((names) => architecture.append(...names.map((name) => new Option(name, name))));
    const picker = element<HTMLInputElement>('weights');
    element('open-weights').addEventListener('click', () => picker.click());
    picker.addEventListener('change', () => {
      if (picker.files?.[0]) void this.openFile(picker.files[0]);
      picker.value = '';
    });
    element('embedded').addEventListener('click', () => void this.openEmbedded());
    for (const id of ['architecture', 'size']) element(id).addEventListener('change', () => void this.#reopen());
    element<HTMLFormElement>('model-address-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const text = element<HTMLInputElement>('model-address').value.trim();
      if (text !== '') void this.openAddress(text);
    });
    app.on('model', (model) => {
      const report = model?.messages.map((message) => make('li', {}, message)) ?? [];
      element('report').replaceChildren(...report);
      element('painted-only').hidden = (app.modelFile?.name ?? embeddedName) !== embeddedName;
      setChip('model-name', model ? `${model.name} at ${model.size.join(' × ')}` : 'no model');
      element('tensors').replaceChildren();
    });
    element('size').append(...inputSizes.toReversed().map((size) => new Option(String(size))));
    element('inspect').addEventListener('click', () => {
      void app.run('Reading the tensors', async () => {
        const text = await app.engine.call('tensors', null, {
          onProgress: (fraction) => app.emit('work', { label: 'Reading the tensors', fraction }),
        });
        element('tensors').replaceChildren(make('pre', { className: 'metrics tall', tabIndex: 0 }, text));
      });
    });
    void this.listStored();
  }

  async openEmbedded(): Promise<void> {
    let file: Blob | undefined;
    await this.#app.run('Fetching the embedded model', async () => {
      const response = await fetch(embeddedModel);
      if (!response.ok) throw new Error(`The page's own model is missing (${response.status}).`);
      file = await response.blob();
    });
    if (!file) return;
    this.address = null;
    element<HTMLSelectElement>('architecture').value = '';
    await this.#open({ file, name: embeddedName });
  }

  openFile(file: File): Promise<void> {
    this.address = null;
    return this.#open({ file, name: file.name });
  }

  async openAddress(text: string): Promise<void> {
    let opened: { file: Blob; name: string } | undefined;
    await this.#app.run(`Fetching ${text}`, async () => {
      const model = await modelByAddress(text, {
        onProgress: (loaded, total) =>
          this.#app.emit('work', {
            label: `Fetching the model: ${bytes(loaded)}${total ? ` of ${bytes(total)}, ${percent(loaded / total)}` : ''}`,
            fraction: total ? loaded / total : null,
          }),
      });
      if (!model.kept) this.#app.emit('said', 'The browser has no room to keep this model: it is fetched again the next time.');
      opened = model;
    });
    if (!opened) return;
    this.address = text;
    await this.#open(opened);
    await this.listStored();
  }

  #open(file: Pick<OpenRequest, 'file' | 'name'>): Promise<void> {
    this.#file = file;
    const architecture = element<HTMLSelectElement>('architecture').value;
    const size = element<HTMLSelectElement>('size').value;
    return this.#app.open({
      ...file,
      ...(architecture === '' ? {} : { model: architecture }),
      ...(size === '' ? {} : { size: Number(size) }),
    });
  }

  async #reopen(): Promise<void> {
    if (this.#file) await this.#open(this.#file);
  }

  /** What the browser keeps, with a button to delete each. */
  async listStored(): Promise<void> {
    const [models, estimate] = await Promise.all([storedModels(), storageEstimate()]);
    const rows = models.map(({ address, name, size }) => {
      const open = make('button', { type: 'button' }, `Use ${name}`);
      open.addEventListener('click', () => void this.openAddress(address));
      const remove = make('button', { type: 'button', 'aria-label': `Delete ${name} (${bytes(size)})` }, 'Delete');
      remove.addEventListener('click', async () => {
        await deleteModel(address);
        await this.listStored();
        this.#app.emit('said', `${name} was deleted.`);
      });
      return make('li', {}, open, ` ${bytes(size)} `, remove);
    });
    element('stored').replaceChildren(...rows);
    const room = estimate ? `${bytes(estimate.used)} of ${bytes(estimate.offered)} that the browser offers` : 'unknown';
    element('storage').textContent = `Stored by this page: ${room}.`;
  }
}
