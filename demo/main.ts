/** The first page: a weights file and a picture in, boxes out. */
import { BackdropError } from '../src/errors.ts';
import { decodeImage, drawBoxes, imagePixels, labelColor } from '../src/host/image.ts';
import { type Detection, Detector, models } from '../src/index.ts';
import { missingWebGpu, type Trouble, troubleOf } from './trouble.ts';
import { withWeights } from './weights-source.ts';

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}
const weights = element<HTMLInputElement>('weights');
const modelSelect = element<HTMLSelectElement>('model');
const sizeSelect = element<HTMLSelectElement>('size');
const imageInput = element<HTMLInputElement>('image');
const threshold = element<HTMLInputElement>('threshold');
const canvas = element<HTMLCanvasElement>('canvas');
const status = element('status');

let detector: Detector | undefined;
let weightsFile: File | undefined;
let picture: { bitmap: ImageBitmap; name: string } | undefined;
/** Everything the model found; the slider only chooses among it. */
let found: Detection[] = [];
let chosen: Detection | undefined;
/** One thing at a time; a new model or picture replaces what waits. */
let running: Promise<void> = Promise.resolve();
let loading: AbortController | undefined;

function show(trouble: Trouble | null): void {
  element('trouble').hidden = trouble === null;
  element('trouble-title').textContent = trouble?.title ?? '';
  element('trouble-text').textContent = trouble?.text ?? '';
  element('trouble-hint').textContent = trouble?.hint ?? '';
}

function progress(label: string | null, fraction?: number): void {
  element('work').hidden = label === null;
  if (label === null) return;
  element('progress-label').textContent = label;
  const bar = element<HTMLProgressElement>('progress');
  if (fraction === undefined || !Number.isFinite(fraction)) bar.removeAttribute('value');
  else bar.value = fraction;
}

/** Queues work; errors become words on the page. */
function enqueue(work: () => Promise<void>): void {
  running = running.then(async () => {
    show(null);
    try {
      await work();
    } catch (error) {
      if ((error as Error).name !== 'AbortError') show(troubleOf(error));
      status.textContent = 'Not finished.';
    } finally {
      progress(null);
    }
  });
}

/** How the file fitted the model. */
function report(messages: readonly string[]): void {
  const lines = messages.map((message) => Object.assign(document.createElement('li'), { textContent: message }));
  element('report').replaceChildren(...lines);
}

async function loadModel(file: File): Promise<void> {
  detector?.dispose();
  detector = undefined;
  found = [];
  loading = new AbortController();
  const { signal } = loading;
  report([]);
  progress(`Opening ${file.name}`);
  const model = modelSelect.value;
  detector = await withWeights(file, { signal, ...(model === '' ? {} : { model }) }, (source, { config, labels, messages }) => {
    report(messages);
    return Detector.load(source, {
      model: config,
      ...(labels ? { labels } : {}),
      size: Number(sizeSelect.value),
      signal,
      onProgress: ({ stage, loaded, total }) => progress(stage === 'weights' ? 'Loading weights' : 'Compiling kernels', loaded / total),
    });
  });
  const { adapter, config } = detector;
  const name = adapter.description || [adapter.vendor, adapter.architecture].filter(Boolean).join(' ') || 'unnamed adapter';
  element('adapter').textContent = `${config.name} on ${name}${adapter.software ? ' (software adapter: slow)' : ''}`;
  status.textContent = picture ? '' : 'Model ready. Choose a picture.';
  await detect();
}

async function openPicture(file: Blob, name: string): Promise<void> {
  const bitmap = await decodeImage(file, name);
  picture?.bitmap.close();
  picture = { bitmap, name };
  found = [];
  draw();
  status.textContent = detector ? '' : 'Picture ready. Choose a weights file.';
  await detect();
}

async function detect(): Promise<void> {
  if (!detector || !picture) return;
  progress('Detecting');
  const started = performance.now();
  const pixels = imagePixels(picture.bitmap, picture.name);
  const decode = performance.now() - started;
  const result = await detector.detect(pixels, { threshold: Number(threshold.min), maxResults: 300 });
  found = result.detections;
  chosen = undefined;
  const { preprocess, inference, postprocess } = result.timings;
  const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  element('timings').textContent = `pixels ${ms(decode)}, pre ${ms(preprocess)}, inference ${ms(inference)}, post ${ms(postprocess)}`;
  draw();
}

function visible(): Detection[] {
  const least = Number(threshold.value);
  return found.filter(({ score }) => score >= least).sort((a, b) => b.score - a.score);
}

function draw(): void {
  if (!picture) return;
  const { bitmap, name } = picture;
  const boxes = visible();
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const context = canvas.getContext('2d')!;
  context.drawImage(bitmap, 0, 0);
  drawBoxes(context, chosen && boxes.includes(chosen) ? [chosen] : boxes, bitmap.width, bitmap.height);
  const words = boxes.map(({ label, score }) => `${label} ${Math.round(score * 100)} %`).join(', ');
  canvas.setAttribute('aria-label', `${name}: ${words || 'no objects'}`);
  list(boxes);
}

/** The result list: the same as the boxes, for keyboard and screen reader. */
function list(boxes: Detection[]): void {
  const nothing = detector ? 'No objects above this score' : 'No objects yet';
  element('count').textContent = boxes.length === 0 ? nothing : boxes.length === 1 ? '1 object' : `${boxes.length} objects`;
  const rows = boxes.map((detection) => {
    const row = document.createElement('li');
    const button = document.createElement('button');
    button.type = 'button';
    button.setAttribute('aria-pressed', String(detection === chosen));
    const swatch = document.createElement('span');
    swatch.className = 'swatch';
    swatch.style.background = labelColor(detection.label);
    const score = document.createElement('span');
    score.className = 'score';
    score.textContent = `${Math.round(detection.score * 100)} %`;
    button.append(swatch, detection.label, score);
    button.addEventListener('click', () => {
      chosen = chosen === detection ? undefined : detection;
      const index = boxes.indexOf(detection);
      draw();
      element('detections').querySelectorAll('button')[index]?.focus();
    });
    row.append(button);
    return row;
  });
  element('detections').replaceChildren(...rows);
}

const isWeights = (file: File): boolean => /\.(safetensors|pth|pt|bin|ckpt)$/i.test(file.name);

function openFile(file: File, weights = isWeights(file)): void {
  if (weights) {
    weightsFile = file;
    loading?.abort();
    enqueue(() => loadModel(file));
  } else enqueue(() => openPicture(file, file.name));
}

function start(): void {
  for (const name of models.keys()) modelSelect.append(new Option(name, name));
  const missing = missingWebGpu();
  if (missing) {
    element('adapter').textContent = '';
    element<HTMLFieldSetElement>('settings').inert = true;
    show(missing);
    return;
  }
  void navigator.gpu.requestAdapter().then((adapter) => {
    if (detector) return;
    const name = adapter && (adapter.info.description || `${adapter.info.vendor} ${adapter.info.architecture}`);
    element('adapter').textContent = name ?? '';
    if (!adapter) show(troubleOf(new BackdropError('E_WEBGPU_NO_ADAPTER', 'WebGPU is there, but it offers no graphics adapter.')));
  });
  weights.addEventListener('change', () => weights.files?.[0] && openFile(weights.files[0], true));
  imageInput.addEventListener('change', () => imageInput.files?.[0] && openFile(imageInput.files[0], false));
  for (const select of [modelSelect, sizeSelect]) {
    select.addEventListener('change', () => weightsFile && openFile(weightsFile, true));
  }
  threshold.addEventListener('input', () => {
    element('threshold-value').textContent = `${Math.round(Number(threshold.value) * 100)} %`;
    draw();
  });
  addEventListener('paste', (event) => {
    for (const file of event.clipboardData?.files ?? []) openFile(file);
  });
  addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  addEventListener('dragleave', () => document.body.classList.remove('dropping'));
  addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    for (const file of event.dataTransfer?.files ?? []) openFile(file);
  });
}

start();
