import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { defineConfig } from 'vitest/config';
import { root, wgslVite } from '../src/host/wgsl-plugin.mjs';

// A test file that imports setup/gpu.ts talks to Chrome; all others run in Node alone, side by side.
const tests = readdirSync(join(root, 'tests'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts') && !entry.parentPath.includes('node_modules'))
  .map((entry) => join(entry.parentPath, entry.name));
const usesGpu = (file: string) => /from '[^']*\/(gpu|gpu-[\w-]+)\.ts'/.test(readFileSync(file, 'utf8'));
const names = (files: string[]) => files.map((file) => relative(root, file).replaceAll('\\', '/'));

const report = process.env.BACKDROP_TEST_JSON;

export default defineConfig({
  root,
  plugins: [wgslVite()],
  test: {
    // .ci/run reads the numbers from this file.
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    projects: [
      {
        extends: true,
        root,
        test: {
          name: 'node',
          include: names(tests.filter((file) => !usesGpu(file))),
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        root,
        test: {
          name: 'gpu',
          include: names(tests.filter(usesGpu)),
          globalSetup: ['tests/setup/chrome.ts'],
          // One adapter: parallel files would only wait for each other. Software adapters compile for seconds.
          maxWorkers: 1,
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
