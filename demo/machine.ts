/** Read the machine: adapter, limits, counts, the memory plan as a picture, the slowest kernels. */
import type { App } from './app.ts';
import { bytes, make } from './dom.ts';
import type { Machine, PlannedTensor } from './engine.ts';
import type { PanelModule } from './panels.ts';

const interesting = [
  'maxBufferSize',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupsPerDimension',
];

function facts(rows: readonly (readonly [name: string, value: string])[]): HTMLDListElement {
  return make('dl', { className: 'facts' }, ...rows.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]));
}

export const open: PanelModule['open'] = (root, { app }) => {
  const summary = make('div');
  const plan = make('div');
  const kernels = make('div');
  const measure = make('button', { type: 'button' }, 'Time every kernel');
  const again = make('button', { type: 'button' }, 'Read again');
  root.append(
    make('h2', {}, 'This machine'),
    summary,
    make('div', { className: 'row small' }, again),
    make('h2', {}, 'Memory plan'),
    plan,
    make('h2', {}, 'Slowest kernels'),
    make('div', { className: 'row small' }, measure),
    kernels,
  );
  measure.addEventListener('click', () => void app.run('Timing kernels', () => profile(app, kernels)));
  const refresh = async () => {
    if (!app.model) return;
    try {
      const machine = await app.engine.call('machine', null);
      summary.replaceChildren(describe(app, machine));
      plan.replaceChildren(...planPicture(machine));
      kernels.replaceChildren();
    } catch (error) {
      app.report(error);
    }
  };
  again.addEventListener('click', () => void refresh());
  app.on('model', () => void refresh());
  void refresh();
  return {};
};

function describe(app: App, { limits, features, dispatches, arenas, buffers, bufferBytes }: Machine): HTMLElement {
  const { model } = app;
  if (!model) return make('p', {}, 'No model is loaded.');
  const { adapter, pipelines, parameters } = model;
  const size = (name: string) => (/Size$/.test(name) ? bytes(limits[name] ?? 0) : String(limits[name] ?? 'unknown'));
  const all = make('details', {}, make('summary', {}, 'Limits and features'), facts(interesting.map((name) => [name, size(name)])));
  all.append(make('p', { className: 'hint' }, `Features: ${features.join(', ') || 'none'}.`));
  return make(
    'div',
    {},
    facts([
      ['Adapter', adapter.software ? `${adapter.name}, a software adapter: it computes on the processor` : adapter.name],
      ['Model', `${model.name} at ${model.size.join(' × ')}`],
      ['Dispatches', String(dispatches)],
      ['Pipelines', String(pipelines)],
      ['Weights', bytes(parameters)],
      ['Activations', `${bytes(arenas.reduce((a, b) => a + b, 0))} in ${arenas.length} arenas`],
      ['On the device', `${buffers} buffers, ${bytes(bufferBytes)}`],
    ]),
    all,
  );
}

/** One arena: time from left to right, memory from top to bottom, a block for each tensor. */
function planPicture({ arenas, tensors, dispatches }: Machine): HTMLElement[] {
  const ratio = 2;
  return arenas.map((size, arena) => {
    const own = tensors.filter((tensor) => tensor.arena === arena);
    const canvas = make('canvas', {
      className: 'plan',
      tabIndex: 0,
      role: 'img',
      'aria-label': `Arena ${arena + 1}: ${own.length} tensors in ${bytes(size)} over ${dispatches} dispatches`,
    });
    Object.assign(canvas, { width: 380 * ratio, height: 130 * ratio });
    const context = canvas.getContext('2d');
    const place = ({ first, last, offset, bytes: length }: PlannedTensor) => ({
      x: (first / dispatches) * canvas.width,
      y: (offset / size) * canvas.height,
      w: Math.max(1, ((Math.min(last, dispatches - 1) + 1 - first) / dispatches) * canvas.width),
      h: Math.max(1, (length / size) * canvas.height),
    });
    own.forEach((tensor, i) => {
      if (!context) return;
      const { x, y, w, h } = place(tensor);
      context.fillStyle = `hsl(${(i * 47) % 360} 55% 55%)`;
      context.fillRect(x, y, w, h);
    });
    const caption = make(
      'figcaption',
      { className: 'hint' },
      `Arena ${arena + 1}, ${bytes(size)}: dispatches left to right, memory top to bottom.`,
    );
    canvas.addEventListener('pointermove', (event) => {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      const at = { x: ((event.clientX - left) / width) * canvas.width, y: ((event.clientY - top) / height) * canvas.height };
      const under = own.find((tensor) => {
        const { x, y, w, h } = place(tensor);
        return at.x >= x && at.x < x + w && at.y >= y && at.y < y + h;
      });
      if (under) {
        const life = `dispatches ${under.first} to ${Math.min(under.last, dispatches - 1)}`;
        caption.textContent = `${under.label || 'unnamed'} [${under.shape.join(', ')}], ${bytes(under.bytes)}, ${life}`;
      }
    });
    return make('figure', {}, canvas, caption);
  });
}

async function profile(app: App, root: HTMLElement): Promise<void> {
  const { method, steps } = await app.engine.call('profile', null, {
    onProgress: (fraction) => app.emit('work', { label: 'Timing kernels', fraction }),
  });
  const slowest = [...steps].sort((a, b) => b.microseconds - a.microseconds).slice(0, 10);
  const total = steps.reduce((sum, { microseconds }) => sum + microseconds, 0);
  const head = make('tr', {}, ...['Where', 'Kernel', 'µs', 'Share'].map((text) => make('th', { scope: 'col' }, text)));
  const rows = slowest.map(({ label, kernel, microseconds }) => {
    const cells = [label, kernel, microseconds.toFixed(0), `${((100 * microseconds) / total).toFixed(1)} %`];
    return make('tr', {}, ...cells.map((text) => make('td', {}, text)));
  });
  root.replaceChildren(
    make('p', { className: 'hint' }, `${steps.length} dispatches, ${(total / 1000).toFixed(1)} ms together, by ${method}.`),
    make(
      'div',
      { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Slowest kernels' },
      make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows)),
    ),
  );
}
