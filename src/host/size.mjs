// What a page pays to load us: the library bundled and minified as esbuild.config.mjs does it, compressed as servers do it.
import { gzipSync } from 'node:zlib';
import { demoBuild } from '../../esbuild.config.mjs';
import { root, wgslEsbuild } from './wgsl-plugin.mjs';

/** Most that detection may take, all WGSL included: 60 KiB. */
export const detectLimit = 60 * 1024;
/** Most JavaScript that the demo page may load to detect, gzipped: 100 KB. */
export const pageLimit = 100_000;

/**
 * @typedef {object} BundleSize
 * @property {string} name
 * @property {number} bytes minified
 * @property {number} gzip gzip -9
 * @property {{ path: string, bytes: number }[]} parts what it is made of, largest first
 */

/** Pages that use the library: one that detects, with every model and kernel; one that takes everything; one that only reads checkpoints. */
export const bundles = {
  detect: "export { Detector } from './src/index.ts';",
  everything: "export * from './src/index.ts';",
  checkpoints: "export * from './src/checkpoints/index.ts';",
};

/**
 * Bundles in memory and measures.
 * @param {Record<string, string>} [entries]
 * @returns {Promise<BundleSize[]>}
 */
export async function measureBundles(entries = bundles) {
  const { build } = await import('esbuild');
  return Promise.all(
    Object.entries(entries).map(async ([name, contents]) => {
      const { outputFiles, metafile } = await build({
        absWorkingDir: root,
        stdin: { contents, resolveDir: root, loader: 'ts' },
        outfile: 'page.js',
        bundle: true,
        format: 'esm',
        target: 'es2023',
        platform: 'browser',
        minify: true,
        legalComments: 'none',
        metafile: true,
        write: false,
        logLevel: 'silent',
        plugins: [wgslEsbuild({ minify: true })],
      });
      const [bundle] = outputFiles;
      const [{ inputs }] = Object.values(metafile.outputs);
      const parts = Object.entries(inputs).map(([path, { bytesInOutput }]) => ({ path, bytes: bytesInOutput }));
      return {
        name,
        bytes: bundle.contents.length,
        gzip: gzipSync(bundle.contents, { level: 9 }).length,
        parts: parts.sort((a, b) => b.bytes - a.bytes),
      };
    }),
  );
}

/**
 * The demo page's JavaScript as esbuild.config.mjs builds it: what its entries load before a first picture is detected, each file
 * once, and what comes later, on demand.
 * @returns {Promise<{ first: FileSize[], later: FileSize[] }>}
 * @typedef {{ name: string, gzip: number }} FileSize
 */
export async function measurePage() {
  const { build } = await import('esbuild');
  const { outputFiles, metafile } = await build({ ...demoBuild, absWorkingDir: root, sourcemap: false, metafile: true, write: false });
  const outputs = Object.entries(metafile.outputs);
  const entry = (/** @type {string} */ name) => outputs.find(([, { entryPoint }]) => entryPoint === `demo/${name}.ts`)?.[0] ?? '';
  /** @type {Set<string>} */
  const first = new Set();
  const follow = (/** @type {string} */ path) => {
    if (first.has(path)) return;
    first.add(path);
    for (const { path: next, kind } of metafile.outputs[path].imports) if (kind === 'import-statement') follow(next);
  };
  for (const name of ['main', 'engine-worker']) follow(entry(name));
  const sizes = outputs.map(([path], i) => ({
    path,
    name: path.replace('dist/demo/', ''),
    gzip: gzipSync(outputFiles[i].contents, { level: 9 }).length,
  }));
  sizes.sort((a, b) => b.gzip - a.gzip);
  return { first: sizes.filter(({ path }) => first.has(path)), later: sizes.filter(({ path }) => !first.has(path)) };
}

/** @param {readonly FileSize[]} files */
export const total = (files) => files.reduce((sum, { gzip }) => sum + gzip, 0);

/**
 * The page's files as lines of text.
 * @param {{ first: FileSize[], later: FileSize[] }} page
 * @returns {string[]}
 */
export function pageTable({ first, later }) {
  const line = (/** @type {FileSize} */ { name, gzip }) => `  ${name.padEnd(28)}${`${(gzip / 1000).toFixed(1)} KB`.padStart(10)}`;
  return [
    `page          ${`${(total(first) / 1000).toFixed(1)} KB`.padStart(10)} gzipped before the first detection`,
    ...first.map(line),
    `loaded when a panel is opened`,
    ...later.map(line),
  ];
}

/**
 * The measurements as lines of text: each bundle, and where its bytes are by folder.
 * @param {BundleSize[]} sizes
 * @returns {string[]}
 */
export function sizeTable(sizes) {
  const kb = (/** @type {number} */ bytes) => `${(bytes / 1000).toFixed(1)} KB`.padStart(10);
  return sizes.flatMap(({ name, bytes, gzip, parts }) => {
    /** @type {Map<string, number>} */
    const folders = new Map();
    for (const { path, bytes: part } of parts) {
      const folder = path.split('/').slice(0, 2).join('/');
      folders.set(folder, (folders.get(folder) ?? 0) + part);
    }
    const rows = [...folders].sort(([, a], [, b]) => b - a).map(([folder, part]) => `  ${folder.padEnd(28)}${kb(part)}`);
    return [`${name.padEnd(14)}${kb(bytes)} minified ${kb(gzip)} gzipped`, ...rows];
  });
}

if (process.argv[1] === import.meta.filename) {
  const sizes = await measureBundles();
  for (const line of sizeTable(sizes)) console.log(line);
  const detect = sizes.find(({ name }) => name === 'detect');
  if (detect && detect.gzip > detectLimit) {
    console.error(`the detect bundle has ${detect.gzip} bytes gzipped; ${detectLimit} are allowed`);
    process.exitCode = 1;
  }
  const page = await measurePage();
  for (const line of pageTable(page)) console.log(line);
  if (total(page.first) > pageLimit) {
    console.error(`the page loads ${total(page.first)} bytes gzipped; ${pageLimit} are allowed`);
    process.exitCode = 1;
  }
}
