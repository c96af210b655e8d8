// `import kernel from './kernel.wgsl'` for esbuild and for vitest, and the .d.wgsl.ts files that give it a type.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { declaration, readShader } from './wgsl-module.mjs';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** `shaders/gemm/registers.wgsl` is called `gemm/registers`; a shader elsewhere by its path. @param {string} file */
function shaderName(file) {
  return relative(root, file)
    .split(sep)
    .join('/')
    .replace(/^shaders\//, '')
    .replace(/\.wgsl$/, '');
}

/** @param {string} file @param {boolean} minify @returns {string} an ES module */
function moduleText(file, minify) {
  const shader = readShader(file, readFileSync(file, 'utf8'), { name: shaderName(file), minify });
  return `export default ${JSON.stringify(shader)};`;
}

/** @param {{ minify?: boolean }} [options] @returns {import('esbuild').Plugin} */
export function wgslEsbuild({ minify = false } = {}) {
  return {
    name: 'wgsl',
    setup(build) {
      build.onLoad({ filter: /\.wgsl$/ }, ({ path }) => {
        try {
          return { contents: moduleText(path, minify), loader: 'js', watchFiles: [path] };
        } catch (error) {
          return { errors: [{ text: error instanceof Error ? error.message : String(error) }] };
        }
      });
    },
  };
}

/** @returns {import('vite').Plugin} the same for vitest; shaders stay as written */
export function wgslVite() {
  return {
    name: 'wgsl',
    enforce: 'pre',
    load(id) {
      const file = id.split('?')[0];
      return file.endsWith('.wgsl') ? { code: moduleText(file, false), map: null } : null;
    },
  };
}

/** Every .wgsl file below a folder, sorted. @param {string} folder @returns {string[]} */
export function shaderFiles(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.wgsl'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Writes dist/wgsl/**\/NAME.d.wgsl.ts for all shaders and removes those whose shader is gone. */
export function writeTypes() {
  const out = join(root, 'dist/wgsl');
  const wanted = new Set();
  for (const file of [...shaderFiles(join(root, 'shaders')), ...shaderFiles(join(root, 'tests/shaders'))]) {
    const target = join(out, relative(root, file).replace(/\.wgsl$/, '.d.wgsl.ts'));
    wanted.add(target);
    const types = relative(dirname(target), join(root, 'src/gpu/shader.ts')).split(sep).join('/');
    const text = declaration(readShader(file, readFileSync(file, 'utf8'), { name: shaderName(file) }), types);
    if (existsSync(target) && readFileSync(target, 'utf8') === text) continue;
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, text);
  }
  if (!existsSync(out)) return;
  for (const entry of readdirSync(out, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !wanted.has(path)) rmSync(path);
  }
}
