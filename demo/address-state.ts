/** The page's state in its address: model, threshold, limit, hidden classes, panel, map. A shared link shows what its sender saw. */
import type { App } from './app.ts';

export interface SharedState {
  /** Address of a model; null: the embedded one. */
  readonly model: string | null;
  readonly panel: string | null;
  /** The background map beside the picture. */
  readonly map: boolean;
}

export function readState(app: App): SharedState {
  const state = new URLSearchParams(location.hash.slice(1));
  const threshold = Number(state.get('threshold') ?? Number.NaN);
  if (threshold >= 0 && threshold <= 1) app.view.threshold = threshold;
  const limit = Number(state.get('limit') ?? Number.NaN);
  if (Number.isInteger(limit) && limit >= 0) app.view.limit = limit;
  for (const name of state.getAll('hide')) app.view.hidden.add(name);
  return { model: state.get('model'), panel: state.get('panel'), map: state.has('map') };
}

/** Keeps the address up to date, without a new entry in the history. */
export function writeState(app: App, { model, panel, map }: SharedState): void {
  const state = new URLSearchParams();
  if (model) state.set('model', model);
  if (app.view.threshold !== 0.5) state.set('threshold', String(app.view.threshold));
  if (app.view.limit !== 100) state.set('limit', String(app.view.limit));
  for (const name of app.view.hidden) state.append('hide', name);
  if (map) state.set('map', '1');
  if (panel && panel !== 'results') state.set('panel', panel);
  const hash = state.toString();
  history.replaceState(null, '', hash === '' ? location.pathname + location.search : `#${hash}`);
}
