/** The page: starts its parts and joins them. */
import { BackdropError } from '../src/errors.ts';
import { readState, writeState } from './address-state.ts';
import { App } from './app.ts';
import { BackgroundView } from './background-map.ts';
import { element, setChip } from './dom.ts';
import type { Film } from './film.ts';
import { ModelChoice } from './model-choice.ts';
import { type PanelLoaders, Panels } from './panels.ts';
import { results } from './results.ts';
import { saving } from './saving.ts';
import { Sources } from './sources.ts';
import { Stage } from './stage.ts';
import { missingWebGpu, type Trouble, troubleOf } from './trouble.ts';

/** Loaded when they are first opened. */
const loaders: PanelLoaders = {
  compose: () => import('./compose.ts'),
  finetune: () => import('./finetune.ts'),
  inside: () => import('./inside.ts'),
  labels: () => import('./labels.ts'),
  machine: () => import('./machine.ts'),
};

/** Labels by their names; .txt only beside one of these, as YOLO's lines are. */
const isLabels = (file: File): boolean => /\.(json|ya?ml|xml)$/i.test(file.name);
const isWeights = (file: File): boolean => /\.(safetensors|pth|pt|bin|ckpt)$/i.test(file.name);

function status(app: App): void {
  let shown: Trouble | null = null;
  app.on('trouble', (trouble) => {
    // Said again, it would be read out again.
    if (trouble === shown) return;
    shown = trouble;
    element('trouble').hidden = trouble === null;
    element('trouble-title').textContent = trouble?.title ?? '';
    element('trouble-text').textContent = trouble?.text ?? '';
    element('trouble-hint').textContent = trouble?.hint ?? '';
  });
  element('trouble-close').addEventListener('click', () => {
    app.standing = null;
    app.emit('trouble', null);
  });
  app.on('work', (work) => {
    element('work').hidden = work === null;
    if (!work) return;
    element('work-label').textContent = work.label;
    const bar = element<HTMLProgressElement>('progress');
    if (work.fraction === null) bar.removeAttribute('value');
    else bar.value = work.fraction;
  });
  app.on('said', (text) => {
    element('said').textContent = text;
  });
  app.on('model', (model) => {
    if (model) setChip('adapter', model.adapter.software ? `${model.adapter.name} (software: slow)` : model.adapter.name);
  });
}

/** Asks for an adapter before anything large is fetched. */
async function checkAdapter(app: App): Promise<boolean> {
  app.standing = missingWebGpu();
  if (!app.standing) {
    if (await navigator.gpu.requestAdapter().catch(() => null)) return true;
    app.standing = troubleOf(new BackdropError('E_WEBGPU_NO_ADAPTER', 'WebGPU is there, but it offers no graphics adapter.'));
  }
  setChip('adapter', 'no graphics adapter');
  app.emit('trouble', app.standing);
  return false;
}

async function start(): Promise<void> {
  const app = new App();
  status(app);
  const stage = new Stage(app);
  for (const [id, action] of Object.entries({
    'zoom-in': () => stage.zoom(1.25),
    'zoom-out': () => stage.zoom(0.8),
    'zoom-fit': () => stage.reset(),
  })) {
    element(id).addEventListener('click', action);
  }
  results(app);
  const leaving = new Set<() => void>();
  const leave = () => {
    for (const end of leaving) end();
  };
  const choice = new ModelChoice(app);
  /** Loaded when the first camera or film is opened. */
  let film: Film | null = null;
  const openFilm = async (): Promise<Film> => {
    const { Film } = await import('./film.ts');
    film ??= new Film(app);
    return film;
  };
  element('camera').addEventListener('click', () => {
    if (!film?.running) leave();
    void app.attempt(async () => (await openFilm()).toggleCamera());
  });
  const sources: Sources = new Sources(app, {
    leave,
    takeOther: (file) => {
      if (isWeights(file)) void choice.openFile(file);
      else if (file.type.startsWith('video/')) {
        leave();
        void app.attempt(async () => (await openFilm()).open(file));
      } else return false;
      return true;
    },
    takeLabels: (files) => {
      const labels = files.some(isLabels) ? files.filter((file) => isLabels(file) || /\.txt$/i.test(file.name)) : [];
      if (labels.length > 0) void panels.give('labels', labels);
      return labels;
    },
  });
  saving(app, sources);
  leaving.add(() => film?.leave());
  const remember = () => writeState(app, { model: choice.address, panel: panels.current, map: app.inspecting });
  const background: BackgroundView = new BackgroundView(app, stage, () => remember());
  const panels: Panels = new Panels({ app, stage, sources, background, leave }, loaders, () => remember());
  const shared = readState(app);
  if (shared.map) background.show(true);
  app.emit('view', null);
  app.on('view', remember);
  app.on('model', remember);
  if (shared.panel && panels.has(shared.panel)) void panels.show(shared.panel);
  const usable = await checkAdapter(app);
  document.body.classList.toggle('no-gpu', !usable);
  void sources.samples();
  if (!usable) return;
  if (shared.model) await choice.openAddress(shared.model);
  else await choice.openEmbedded();
}

/** Keeps the page for use without a network, once it stands. Browsers that keep nothing (private windows) refuse; the page works all the same. */
addEventListener('load', () => void navigator.serviceWorker?.register('service-worker.js').catch(() => {}));

void start();
