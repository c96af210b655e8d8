/**
 * What Node may ask the page to do, by name. A module that adds a handler calls register() when it is imported, and is
 * imported by src/host/page.ts (or, for tests, ends in .page.ts).
 */
export interface PageContext {
  /** Sends anything that message.ts can pack to the caller's onProgress. Never throws. */
  progress(value: unknown): void;
  /** Aborted when the caller gave up. */
  readonly signal: AbortSignal;
}

export type PageHandler<P = unknown> = (payload: P, context: PageContext) => unknown;

const handlers = new Map<string, PageHandler>();

/** Registers a handler. Two of one name are a mistake and throw. */
export function register<P>(name: string, handler: PageHandler<P>): void {
  if (handlers.has(name)) throw new Error(`page handler "${name}" is registered twice`);
  handlers.set(name, handler as PageHandler);
}

/** The handler of a name; throws when there is none, naming those there are. */
export function handlerOf(name: string): PageHandler {
  const handler = handlers.get(name);
  if (!handler) throw new Error(`the page has no handler "${name}" (it has: ${[...handlers.keys()].sort().join(', ') || 'none'})`);
  return handler;
}
