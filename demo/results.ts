/** The result list: the same as the boxes, for keyboard and screen reader, linked both ways. Threshold, limit and class filter. */
import { labelColor } from '../src/host/image.ts';
import type { Detection } from '../src/index.ts';
import { type App, countWords } from './app.ts';
import { element, make, milliseconds, percent } from './dom.ts';

export function results(app: App): void {
  const threshold = element<HTMLInputElement>('threshold');
  const limit = element<HTMLInputElement>('limit');
  threshold.addEventListener('input', () => app.setView({ threshold: Number(threshold.value) }));
  limit.addEventListener('input', () => app.setView({ limit: Math.max(0, Math.floor(Number(limit.value) || 0)) }));
  element('all-classes').addEventListener('click', () => {
    app.view.hidden.clear();
    app.setView({});
  });
  element('no-classes').addEventListener('click', () => {
    for (const name of app.model?.classes ?? []) app.view.hidden.add(name);
    app.setView({});
  });
  app.on('model', () => {
    classList(app);
    list(app);
  });
  app.on('picture', (picture) => {
    if (!picture?.live) list(app);
  });
  app.on('found', ({ timings }) => {
    const { decode, preprocess, inference, postprocess, total } = timings;
    const rate = total > 0 ? ` · ${(1000 / total).toFixed(1)} a second` : '';
    element('timings').textContent =
      `decode ${milliseconds(decode)} · upload ${milliseconds(preprocess)} · inference ${milliseconds(inference)} · ` +
      `post ${milliseconds(postprocess)}${rate}`;
    const shares = [decode, preprocess, inference, postprocess];
    [...element('split-times').children].forEach((bar, i) => {
      (bar as HTMLElement).style.flexGrow = String(shares[i]);
    });
    list(app);
  });
  app.on('view', () => {
    threshold.value = String(app.view.threshold);
    element('threshold-value').textContent = percent(app.view.threshold);
    if (document.activeElement !== limit) limit.value = String(app.view.limit);
    for (const box of element('classes').querySelectorAll('input')) box.checked = !app.view.hidden.has(box.value);
    list(app);
  });
}

function classList(app: App): void {
  const items = (app.model?.classes ?? []).map((name) => {
    const box = make('input', { type: 'checkbox', value: name, checked: !app.view.hidden.has(name) });
    box.addEventListener('change', () => {
      if (box.checked) app.view.hidden.delete(name);
      else app.view.hidden.add(name);
      app.setView({});
    });
    const swatch = make('span', { className: 'swatch' });
    swatch.style.background = labelColor(name);
    return make('li', {}, make('label', {}, box, swatch, name));
  });
  element('classes').replaceChildren(...items);
}

/** The rows that stand there, so that hovering changes marks and never the focus. */
let shown: Detection[] = [];

function list(app: App): void {
  const boxes = app.visible();
  element('count').textContent = app.found ? countWords(boxes.length) : 'Nothing looked at yet';
  const rows = element('detections');
  if (boxes.length !== shown.length || boxes.some((box, i) => box !== shown[i])) {
    const focused = [...rows.querySelectorAll('button')].indexOf(document.activeElement as HTMLButtonElement);
    shown = boxes;
    rows.replaceChildren(...boxes.map((detection) => row(app, detection)));
    if (focused >= 0) rows.querySelectorAll('button')[Math.min(focused, boxes.length - 1)]?.focus();
  }
  rows.querySelectorAll('button').forEach((button, i) => {
    button.setAttribute('aria-pressed', String(shown[i] === app.chosen));
    button.classList.toggle('pointed', shown[i] === app.pointed);
  });
}

function row(app: App, detection: Detection): HTMLLIElement {
  const { label, score, box } = detection;
  const swatch = make('span', { className: 'swatch' });
  swatch.style.background = labelColor(label);
  const size = `${Math.round(box.xmax - box.xmin)} × ${Math.round(box.ymax - box.ymin)}`;
  const button = make(
    'button',
    { type: 'button' },
    swatch,
    make('span', { className: 'label' }, label),
    make('span', { className: 'size' }, size),
    make('span', { className: 'score' }, percent(score)),
  );
  button.addEventListener('click', () => app.choose(app.chosen === detection ? null : detection));
  button.addEventListener('pointerenter', () => app.point(detection));
  button.addEventListener('pointerleave', () => app.point(null));
  button.addEventListener('focus', () => app.point(detection));
  button.addEventListener('blur', () => app.point(null));
  return make('li', {}, button);
}
