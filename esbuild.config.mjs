// Builds dist/ (skipped when nothing changed) and, with --types, the declarations of the .wgsl modules.
//   node esbuild.config.mjs [--types] [--force]
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root, wgslEsbuild, writeTypes } from './src/host/wgsl-plugin.mjs';

const dist = join(root, 'dist');
const stamp = join(dist, '.built');
const sources = ['src', 'shaders', 'weights-tools', 'demo', 'esbuild.config.mjs', 'package.json', 'package-lock.json'];

/** @type {import('esbuild').BuildOptions} */
const common = {
  absWorkingDir: root,
  bundle: true,
  format: 'esm',
  target: 'es2023',
  minify: true,
  sourcemap: true,
  legalComments: 'none',
  logLevel: 'silent',
};
const library = [
  { in: 'src/index.ts', out: 'index' },
  { in: 'src/checkpoints/index.ts', out: 'checkpoints' },
  { in: 'src/training/index.ts', out: 'training' },
  { in: 'src/evaluation/index.ts', out: 'evaluation' },
  { in: 'src/data/index.ts', out: 'data' },
  { in: 'weights-tools/index.ts', out: 'weights-tools' },
];
// These import modules for their effect (handlers register themselves), which "sideEffects": false of the library
// would drop: ignoreAnnotations.
const pages = [
  { in: 'src/host/page.ts', out: 'host/page' },
  { in: 'src/data/loader-worker.ts', out: 'host/loader-worker' },
  { in: 'src/data/loader-worker.ts', out: 'loader-worker' },
];
// Panels of the demo are loaded when they are opened: splitting keeps them apart.
const demo = [
  { in: 'demo/main.ts', out: 'main' },
  { in: 'demo/engine-worker.ts', out: 'engine-worker' },
  { in: 'demo/train-worker.ts', out: 'train-worker' },
  { in: 'demo/scene-worker.ts', out: 'scene-worker' },
  { in: 'demo/fetch-frame.ts', out: 'fetch-frame' },
];
/** @type {import('esbuild').BuildOptions} */
export const demoBuild = {
  ...common,
  entryPoints: demo,
  outdir: 'dist/demo',
  platform: 'browser',
  splitting: true,
  plugins: [wgslEsbuild({ minify: true })],
};
const node = [{ in: 'src/host/cli.ts', out: 'host/cli' }];
const demoFiles = [
  'index.html',
  'fetch.html',
  'style.css',
  'manifest.webmanifest',
  'icon.svg',
  'icon-192.png',
  'icon-512.png',
  'samples',
  'model/association-detr-nano.safetensors',
];

/** Latest change of a file, or of anything below a folder: deletions show in the folder's own time. @param {string} path @returns {number} */
function newest(path) {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return 0;
  if (!stats.isDirectory()) return stats.mtimeMs;
  return readdirSync(path).reduce((latest, name) => Math.max(latest, newest(join(path, name))), stats.mtimeMs);
}

/** Is dist/ newer than everything it is made of? */
export function isBuilt() {
  const built = statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return built > 0 && sources.every((source) => newest(join(root, source)) <= built);
}

/** Builds every bundle. Throws with esbuild's own messages in readable form. */
export async function build() {
  const esbuild = await import('esbuild');
  const started = new Date();
  for (const folder of ['chunks', 'demo']) rmSync(join(dist, folder), { recursive: true, force: true });
  const exists = (/** @type {{ in: string }} */ entry) => existsSync(join(root, entry.in));
  await readable(esbuild, [
    // Entries share their classes and operations: what one makes, another takes.
    esbuild.build({
      ...common,
      entryPoints: library.filter(exists),
      outdir: 'dist',
      splitting: true,
      chunkNames: 'chunks/[name]-[hash]',
      platform: 'browser',
      plugins: [wgslEsbuild({ minify: true })],
    }),
    esbuild.build({
      ...common,
      entryPoints: pages.filter(exists),
      outdir: 'dist',
      platform: 'browser',
      ignoreAnnotations: true,
      plugins: [wgslEsbuild({ minify: true })],
    }),
    esbuild.build(demoBuild),
    esbuild.build({
      ...common,
      entryPoints: node.filter(exists),
      outdir: 'dist',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      plugins: [wgslEsbuild({ minify: true })],
    }),
  ]);
  mkdirSync(join(dist, 'demo'), { recursive: true });
  for (const name of demoFiles) {
    if (existsSync(join(root, 'demo', name))) cpSync(join(root, 'demo', name), join(dist, 'demo', name), { recursive: true });
  }
  cpSync(join(root, 'src/data/scenes/sprites/sprites.png'), join(dist, 'demo', 'sprites.png'));
  cpSync(join(root, 'node_modules/uplot/dist/uPlot.min.css'), join(dist, 'demo', 'uplot.css'));
  await readable(esbuild, [buildServiceWorker(esbuild)]);
  // Stamped with the time the build began: a file saved meanwhile is built next time.
  writeFileSync(stamp, `${started.toISOString()}\n`);
  utimesSync(stamp, started, started);
}

/**
 * The page's service worker knows every file of the page and a hash of them all, so that another build is another worker.
 * @param {typeof import('esbuild')} esbuild
 */
function buildServiceWorker(esbuild) {
  const folder = join(dist, 'demo');
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.(map|md)$/.test(entry.name))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
    .sort();
  const hash = createHash('sha256');
  for (const file of files) hash.update(`${file}\n`).update(readFileSync(join(folder, file)));
  // The page is asked for by its folder.
  const kept = files.map((file) => (file === 'index.html' ? './' : file));
  return esbuild.build({
    ...common,
    entryPoints: [{ in: 'demo/service-worker.ts', out: 'service-worker' }],
    outdir: 'dist/demo',
    platform: 'browser',
    define: { PAGE_FILES: JSON.stringify(kept), PAGE_HASH: JSON.stringify(hash.digest('hex').slice(0, 16)) },
  });
}

/**
 * The page bundle of the test run: tests/setup/page.ts and every tests/**\/*.page.ts, which register their handlers.
 * Kept in memory, so that runs side by side do not overwrite each other. Shaders stay unminified for readable messages.
 * @returns {Promise<Map<string, Uint8Array>>} file name -> contents
 */
export async function buildTestPage() {
  const esbuild = await import('esbuild');
  const handlers = readdirSync(join(root, 'tests'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.page.ts') && !entry.parentPath.includes('node_modules'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const imports = [...handlers, join(root, 'tests/setup/page.ts')].map((file) => `import ${JSON.stringify(file)};`);
  /** @type {import('esbuild').BuildOptions & { write: false }} */
  const options = { ...common, minify: false, sourcemap: 'inline', ignoreAnnotations: true, write: false, platform: 'browser' };
  const stdin = /** @type {const} */ ({ contents: imports.join('\n'), resolveDir: root, sourcefile: 'test-page.ts', loader: 'ts' });
  const [page, worker] = await readable(esbuild, [
    esbuild.build({ ...options, stdin, outfile: 'page.js', plugins: [wgslEsbuild()] }),
    esbuild.build({ ...options, entryPoints: ['src/data/loader-worker.ts'], outfile: 'loader-worker.js' }),
  ]);
  return new Map([
    ['page.js', page.outputFiles[0].contents],
    ['loader-worker.js', worker.outputFiles[0].contents],
  ]);
}

/**
 * @template {import('esbuild').BuildResult} T
 * @param {typeof import('esbuild')} esbuild
 * @param {Promise<T>[]} builds
 * @returns {Promise<T[]>}
 */
async function readable(esbuild, builds) {
  const settled = await Promise.allSettled(builds);
  const failures = settled.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  if (failures.length > 0) {
    const lines = [];
    for (const failure of failures) {
      if (!failure.errors) throw failure;
      lines.push(...(await esbuild.formatMessages(failure.errors, { kind: 'error', color: process.stderr.isTTY ?? false })));
    }
    throw Object.assign(new Error(lines.join('').trimEnd()), { name: 'BuildError' });
  }
  return settled.map((result) => /** @type {PromiseFulfilledResult<T>} */ (result).value);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    if (process.argv.includes('--types')) writeTypes();
    else if (process.argv.includes('--force') || !isBuilt()) await build();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
