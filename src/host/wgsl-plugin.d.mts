import type { Plugin as EsbuildPlugin } from 'esbuild';
import type { Plugin as VitePlugin } from 'vite';

export const root: string;
export function wgslEsbuild(options?: { minify?: boolean }): EsbuildPlugin;
export function wgslVite(): VitePlugin;
export function shaderFiles(folder: string): string[];
export function writeTypes(): void;
