import type { BuildOptions } from 'esbuild';

/** How the demo page's scripts are built. */
export const demoBuild: BuildOptions;
export function isBuilt(): boolean;
export function build(): Promise<void>;
export function buildTestPage(): Promise<Map<string, Uint8Array>>;
