/** The page: starts its parts and joins them. */
import { BackdropError } from '../src/errors.ts';
import { readState, writeState } from './address-state.ts';
import { App } from './app.ts';
import { element } from './dom.ts';
import { Film } from './film.ts';
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
    if (model) element('adapter').textContent = model.adapter.software ? `${model.adapter.name} (software: slow)` : model.adapter.name;
  });
}

/** Asks for an adapter before anything large is fetched. */
async function checkAdapter(app: App): Promise<boolean> {
  app.standing = missingWebGpu();
  if (!app.standing) {
    if (await navigator.gpu.requestAdapter().catch(() => null)) return true;
    app.standing = troubleOf(new BackdropError('E_WEBGPU_NO_ADAPTER', 'WebGPU is there, but it offers no graphics adapter.'));
  }
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
  saving(app);
  const leaving = new Set<() => void>();
  const leave = () => {
    for (const end of leaving) end();
  };
  const choice = new ModelChoice(app);
  const film: Film = new Film(app, leave);
  const sources: Sources = new Sources(app, {
    leave,
    takeOther: (file) => {
      if (isWeights(file)) void choice.openFile(file);
      else return film.take(file);
      return true;
    },
  });
  leaving.add(() => film.leave());
  const remember = () => writeState(app, { model: choice.address, panel: panels.current });
  const panels: Panels = new Panels({ app, stage, sources, leave }, loaders, () => remember());
  const shared = readState(app);
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
