/** Fine-tune in the tab: a folder of labelled pictures in, curves and sample predictions while it learns, weights out. */
import uPlot from 'uplot';
import { drawBoxes } from '../src/host/image.ts';
import type { App } from './app.ts';
import { download, element, make } from './dom.ts';
import type { PanelContext, PanelModule } from './panels.ts';
import { WorkerClient } from './rpc.ts';
import type { SamplePrediction, StoredRun, StoredSet, TrainCalls, TuneEvent, TuneSettings } from './train-calls.ts';

type TrainEngine = WorkerClient<TrainCalls>;

/** A curve that grows: steps or epochs across, one value or two. */
class Curve {
  readonly root = make('div', { className: 'curve', role: 'img', hidden: true });
  readonly #plot: uPlot;
  readonly #name: string;
  readonly #data: number[][];

  constructor(name: string, series: readonly { label: string; stroke: string }[]) {
    this.#name = name;
    this.root.setAttribute('aria-label', `${name}: nothing yet`);
    this.#data = [[], ...series.map(() => [])];
    const text = getComputedStyle(document.body).color;
    const axis = { stroke: text, grid: { stroke: 'rgb(128 128 128 / 0.2)' } };
    this.#plot = new uPlot(
      {
        title: name,
        ...{ width: 360, height: 180 },
        scales: { x: { time: false } },
        axes: [axis, { ...axis, size: 44 }],
        series: [{}, ...series.map((one) => ({ ...one, width: 2 }))],
      },
      this.#data as uPlot.AlignedData,
      this.root,
    );
    new ResizeObserver(() => this.#plot.setSize({ width: Math.max(240, this.root.clientWidth), height: 180 })).observe(this.root);
  }

  add(at: number, ...values: number[]): void {
    this.root.hidden = false;
    this.#data[0].push(at);
    for (const [i, value] of values.entries()) this.#data[i + 1].push(value);
    this.#plot.setData(this.#data as uPlot.AlignedData);
    this.root.setAttribute('aria-label', `${this.#name}: ${values.map((value) => value.toFixed(3)).join(', ')} at ${at}`);
  }

  clear(): void {
    this.root.hidden = true;
    for (const column of this.#data) column.length = 0;
    this.#plot.setData(this.#data as uPlot.AlignedData);
  }
}

class TunePanel {
  readonly #app: App;
  readonly #engine: TrainEngine;
  #set: StoredSet | null = null;
  #run: StoredRun | null = null;
  #running = false;
  readonly #folder = make('input', { type: 'file', id: 'tune-folder', multiple: true, hidden: true });
  readonly #settings = make('fieldset', { className: 'settings' });
  readonly #facts = make('p', { className: 'hint' }, 'No pictures yet.');
  readonly #problems = make('ul', { className: 'report' });
  readonly #status = make('p', { role: 'status' });
  readonly #bar = make('progress', { max: 1, value: 0, 'aria-label': 'Progress of the run', hidden: true });
  readonly #samples = make('div', { className: 'samples' });
  readonly #lines = make('pre', { className: 'metrics', tabIndex: 0, hidden: true });
  readonly #buttons: Record<'start' | 'pause' | 'resume' | 'use' | 'save' | 'discard', HTMLButtonElement>;
  readonly #loss = new Curve('Loss', [{ label: 'loss', stroke: '#d1495b' }]);
  readonly #ap = new Curve('AP', [
    { label: 'AP', stroke: '#00798c' },
    { label: 'AP50', stroke: '#edae49' },
  ]);

  constructor(root: HTMLElement, { app }: PanelContext) {
    this.#app = app;
    this.#engine = new WorkerClient<TrainCalls>(new Worker(new URL('train-worker.js', import.meta.url), { type: 'module' }));
    this.#folder.webkitdirectory = true;
    const pick = make('button', { type: 'button' }, 'Choose a folder');
    pick.addEventListener('click', () => this.#folder.click());
    this.#folder.addEventListener('change', () => {
      const files = [...(this.#folder.files ?? [])];
      this.#folder.value = '';
      if (files.length > 0) void this.#do('Copying the pictures', () => this.#keep(files));
    });
    const number = (id: string, text: string, value: string, step: string, min: string) =>
      make('div', { className: 'row' }, make('label', { htmlFor: id }, text), make('input', { type: 'number', id, value, step, min }));
    this.#settings.append(
      number('tune-epochs', 'Epochs', '10', '1', '1'),
      number('tune-size', 'Input size', '256', '32', '64'),
      number('tune-batch', 'Batch', '4', '1', '1'),
      number('tune-lr', 'Learning rate', '0.0001', 'any', '0'),
    );
    const button = (text: string, work: () => Promise<void>) => {
      const made = make('button', { type: 'button', hidden: true }, text);
      made.addEventListener('click', () => void this.#do(text, work));
      return made;
    };
    this.#buttons = {
      start: button('Start', () => this.#start(false)),
      resume: button('Go on', () => this.#start(true)),
      pause: button('Pause', async () => void (await this.#engine.call('pause', null))),
      use: button('Use these weights here', () => this.#use()),
      save: button('Save the weights', () => this.#save()),
      discard: button('Delete run and pictures', () => this.#discard()),
    };
    this.#buttons.start.classList.add('primary');
    root.append(
      make('h2', {}, 'Fine-tune in this tab'),
      make(
        'p',
        { className: 'hint' },
        'A folder with pictures and labels: COCO JSON, YOLO (data.yaml) or Pascal VOC. It is copied into the storage of this browser and goes nowhere else.',
      ),
      make('div', { className: 'row' }, pick, this.#folder),
      this.#facts,
      this.#problems,
      this.#settings,
      make('div', { className: 'row' }, ...Object.values(this.#buttons)),
      this.#status,
      this.#bar,
      this.#loss.root,
      this.#ap.root,
      this.#samples,
      this.#lines,
    );
    addEventListener('beforeunload', (event) => {
      if (this.#running) event.preventDefault();
    });
    this.enter();
  }

  /** What lies in the storage may have changed in another tab. */
  enter(): void {
    if (!this.#running) void this.#do('Looking for an earlier run', () => this.#look());
  }

  async #look(): Promise<void> {
    const { set, run } = await this.#engine.call('stored', null);
    this.#show(set, run);
  }

  async #do(label: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#status.textContent = `${label}: not finished.`;
      this.#app.report(error);
    }
    this.#enable();
  }

  #show(set: StoredSet | null, run: StoredRun | null): void {
    this.#set = set;
    this.#run = run;
    this.#facts.textContent = set
      ? `${set.format}: ${set.train} pictures to train on, ${set.val} to validate with; ${set.classes.length} classes: ${set.classes.slice(0, 12).join(', ')}.`
      : 'No pictures yet.';
    this.#problems.replaceChildren(...(set?.problems.slice(0, 8).map((text) => make('li', {}, text)) ?? []));
    if (run) {
      const { epochs, size, batch, lr } = run.settings;
      for (const [id, value] of Object.entries({ epochs, size, batch, lr })) element<HTMLInputElement>(`tune-${id}`).value = String(value);
      const best = run.bestAp === null ? '' : `, best AP ${run.bestAp.toFixed(3)}`;
      this.#status.textContent = `A run stands at epoch ${run.epoch} of ${epochs}, step ${run.steps}${best}.`;
    }
    this.#enable();
  }

  #enable(): void {
    const { start, pause, resume, use, save, discard } = this.#buttons;
    this.#settings.disabled = this.#running;
    start.hidden = this.#running || this.#set === null;
    start.textContent = this.#run ? 'Start anew' : 'Start';
    resume.hidden = this.#running || this.#run === null;
    pause.hidden = !this.#running;
    for (const button of [use, save]) button.hidden = this.#running || this.#run === null;
    discard.hidden = this.#running || this.#set === null;
    this.#bar.hidden = !this.#running;
  }

  async #keep(files: readonly File[]): Promise<void> {
    const set = await this.#engine.call(
      'keep',
      { files: files.map((file) => ({ path: file.webkitRelativePath || file.name, file })) },
      {
        onProgress: (share) => {
          this.#status.textContent = `Copying the pictures: ${Math.round(100 * share)} %`;
        },
      },
    );
    this.#status.textContent = 'Ready to start.';
    this.#show(set, null);
  }

  #read(): TuneSettings {
    const value = (name: string) => Number(element<HTMLInputElement>(`tune-${name}`).value);
    return { epochs: value('epochs'), batch: value('batch'), size: value('size'), lr: value('lr') };
  }

  async #start(goOn: boolean): Promise<void> {
    const weights = goOn ? null : this.#app.modelFile;
    if (!goOn && !weights) throw new Error('Load a model first: fine-tuning starts from its weights.');
    if (!goOn) {
      this.#loss.clear();
      this.#ap.clear();
    }
    this.#running = true;
    this.#enable();
    this.#status.textContent = 'Starting';
    try {
      const { reason } = await this.#engine.call(
        'train',
        { settings: this.#read(), weights },
        { onProgress: (event) => this.#event(event) },
      );
      this.#status.textContent =
        { stopped: 'Paused; it goes on from here, also after the page was closed.', finished: 'Done.' }[reason] ?? `Ended: ${reason}.`;
    } finally {
      this.#running = false;
      const said = this.#status.textContent;
      await this.#look();
      this.#status.textContent = said;
    }
  }

  #event(event: TuneEvent): void {
    switch (event.type) {
      case 'compiling':
        this.#status.textContent = `Compiling kernels: ${event.compiled} of ${event.total}`;
        return;
      case 'ready':
        this.#status.textContent = `${event.trainable.toLocaleString('en')} numbers are trained, ${event.stepsPerEpoch} steps an epoch.`;
        return;
      case 'step': {
        const { epochs } = this.#read();
        this.#loss.add(event.step, event.loss);
        this.#bar.value = (event.epoch + event.batch / event.batches) / epochs;
        const left = (epochs - event.epoch) * event.batches - event.batch;
        const minutes = (left * event.seconds) / 60;
        this.#status.textContent =
          `Epoch ${event.epoch + 1} of ${epochs}, step ${event.batch} of ${event.batches}, loss ${event.loss.toFixed(2)}, ` +
          `${(event.images / event.seconds).toFixed(1)} pictures a second, about ${minutes < 1 ? 'a minute' : `${Math.ceil(minutes)} minutes`} left.`;
        return;
      }
      case 'validating':
        this.#status.textContent = `Validating: ${event.images} of ${event.total}`;
        return;
      case 'validation':
        this.#ap.add(event.epoch, event.ap, event.ap50);
        this.#lines.hidden = false;
        this.#lines.textContent = event.lines.join('\n');
        void this.#predictions(event.samples);
    }
  }

  async #predictions(samples: readonly SamplePrediction[]): Promise<void> {
    const pictures = await Promise.all(
      samples.map(async ({ file, found }) => {
        const bitmap = await createImageBitmap(file);
        const canvas = make('canvas', { role: 'img', 'aria-label': `Found: ${found.map(({ label }) => label).join(', ') || 'nothing'}` });
        Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
        const context = canvas.getContext('2d');
        context?.drawImage(bitmap, 0, 0);
        if (context) drawBoxes(context, found, bitmap.width, bitmap.height);
        bitmap.close();
        return canvas;
      }),
    );
    this.#samples.replaceChildren(...pictures);
  }

  async #weights(): Promise<Blob> {
    const file = await this.#engine.call('weights', null);
    if (!file) throw new Error('This run has not saved weights yet.');
    return file;
  }

  async #save(): Promise<void> {
    download('backdrop-finetuned.safetensors', await this.#weights());
  }

  async #use(): Promise<void> {
    await this.#app.open({ file: await this.#weights(), name: 'the fine-tuned model' });
  }

  async #discard(): Promise<void> {
    await this.#engine.call('discard', null);
    this.#status.textContent = 'Run and pictures are deleted.';
    this.#show(null, null);
  }
}

export const open: PanelModule['open'] = (root, context) => {
  const panel = new TunePanel(root, context);
  return { enter: () => panel.enter() };
};
