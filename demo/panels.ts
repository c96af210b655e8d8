/** The panels beside the stage: tabs by the ARIA pattern. What a panel needs is loaded when it is first opened. */
import type { App } from './app.ts';
import type { BackgroundView } from './background-map.ts';
import { element } from './dom.ts';
import type { Sources } from './sources.ts';
import type { Stage } from './stage.ts';

/** What a panel may use. */
export interface PanelContext {
  readonly app: App;
  readonly stage: Stage;
  readonly sources: Sources;
  readonly background: BackgroundView;
  /** Ends camera, film and scene: the panel puts something else on the stage. */
  readonly leave: () => void;
}

/** `open` fills the panel once; what it returns is called when the panel is left and entered again. */
export interface Panel {
  enter?(): void;
  leave?(): void;
  /** Files that were dropped for it. */
  take?(files: readonly File[]): void;
}

export interface PanelModule {
  open(root: HTMLElement, context: PanelContext): Panel | Promise<Panel>;
}

export type PanelLoaders = Readonly<Record<string, () => Promise<PanelModule>>>;

export class Panels {
  readonly #context: PanelContext;
  readonly #loaders: PanelLoaders;
  readonly #opened = new Map<string, Promise<Panel>>();
  readonly #changed: (name: string) => void;
  current = 'results';

  constructor(context: PanelContext, loaders: PanelLoaders, changed: (name: string) => void) {
    this.#context = context;
    this.#loaders = loaders;
    this.#changed = changed;
    const tabs = this.#tabs();
    for (const tab of tabs) {
      tab.addEventListener('click', () => void this.show(tab.dataset.panel!));
      tab.addEventListener('keydown', (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
        const index = tabs.indexOf(tab);
        const next =
          event.key === 'Home' ? 0 : event.key === 'End' ? tabs.length - 1 : step ? (index + step + tabs.length) % tabs.length : -1;
        if (next < 0) return;
        event.preventDefault();
        tabs[next].focus();
        void this.show(tabs[next].dataset.panel!);
      });
    }
  }

  #tabs(): HTMLButtonElement[] {
    return [...element('tabs').querySelectorAll<HTMLButtonElement>('[role=tab]')];
  }

  has(name: string): boolean {
    return this.#tabs().some(({ dataset }) => dataset.panel === name);
  }

  /** Opens a panel and hands it files. */
  async give(name: string, files: readonly File[]): Promise<void> {
    await this.show(name);
    (await this.#opened.get(name))?.take?.(files);
  }

  async show(name: string): Promise<void> {
    const before = this.current;
    this.current = name;
    for (const tab of this.#tabs()) {
      const selected = tab.dataset.panel === name;
      tab.setAttribute('aria-selected', String(selected));
      tab.tabIndex = selected ? 0 : -1;
      element(`panel-${tab.dataset.panel}`).hidden = !selected;
    }
    if (before !== name) (await this.#opened.get(before))?.leave?.();
    this.#changed(name);
    const known = this.#opened.get(name);
    if (known) {
      (await known).enter?.();
      return;
    }
    const loader = this.#loaders[name];
    if (!loader) return;
    const opening = loader().then((module) => module.open(element(`panel-${name}`), this.#context));
    this.#opened.set(name, opening);
    try {
      await opening;
    } catch (error) {
      this.#opened.delete(name);
      this.#context.app.report(error);
    }
  }
}
