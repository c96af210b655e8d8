/** What somebody gets who installs the package: the files in it, its entry points and its types. */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { setup } from '../src/host/setup.mjs';
import { root } from '../src/host/wgsl-plugin.mjs';

const folder = mkdtempSync(join(tmpdir(), 'backdrop-package-'));
const packed = join(folder, 'node_modules', 'backdrop');
const node = (args: string[], cwd = root): string => execFileSync(process.execPath, args, { cwd, encoding: 'utf8' });
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');

const examples = ['train-detector.ts', 'train-anything.ts'];
const snippet = `import { Detector } from 'backdrop';
import { BatchLoader, handleDirectory, loaderWorkers, openDataset, rtDetrAugmentation } from 'backdrop/data';
import { evaluateDetections } from 'backdrop/evaluation';
import { openModelWeights } from 'backdrop/weights-tools';
export async function detect(file: File, image: Blob) {
  const { source, config } = await openModelWeights(file);
  const detector = await Detector.load(source, { model: config });
  const { detections } = await detector.detect(image);
  return detections.map(({ label, box }) => label + box.xmin.toFixed());
}
export async function load(handle: FileSystemDirectoryHandle) {
  const directory = await handleDirectory(handle);
  const { dataset } = await openDataset(directory);
  const records = dataset.splits.get('train') ?? [];
  const options = { batch: 8, size: [256, 256], seed: 0, shuffle: true, workers: loaderWorkers() } as const;
  const loader = new BatchLoader({ directory, records, augmentation: rtDetrAugmentation, ...options });
  for await (const { image, targets } of loader.batches(0)) console.log(image.length, targets[0].boxes);
  return evaluateDetections(records, dataset.categories, []).lines;
}
export const limits = (gpu: import('backdrop').Gpu): GPUSupportedLimits => gpu.device.limits;
`;

beforeAll(async () => {
  await setup({ chrome: false });
  mkdirSync(join(packed, 'dist'), { recursive: true });
  copyFileSync(join(root, 'package.json'), join(packed, 'package.json'));
  for (const name of ['index.js', 'checkpoints.js', 'data.js', 'evaluation.js', 'training.js', 'weights-tools.js', 'chunks']) {
    cpSync(join(root, 'dist', name), join(packed, 'dist', name), { recursive: true });
  }
  for (const name of examples) copyFileSync(join(root, 'tests/examples', name), join(folder, name));
  symlinkSync(join(root, 'node_modules', '@webgpu'), join(folder, 'node_modules', '@webgpu'), 'junction');
  writeFileSync(join(folder, 'snippet.ts'), snippet);
}, 600_000);
afterAll(() => rmSync(folder, { recursive: true }));

it('holds what is run and read, and nothing else', () => {
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const json = execFileSync(npm, ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  const paths: string[] = JSON.parse(json)[0].files.map(({ path }: { path: string }) => path);
  const wanted = [
    'index.js',
    'checkpoints.js',
    'data.js',
    'loader-worker.js',
    'evaluation.js',
    'training.js',
    'weights-tools.js',
    'host/cli.js',
    'host/page.js',
    'demo/index.html',
    'demo/engine-worker.js',
    'demo/model/association-detr-nano.safetensors',
    'demo/samples/test.json',
  ];
  expect(paths).toEqual(
    expect.arrayContaining([...wanted.map((name) => `dist/${name}`), 'src/host/backdrop.mjs', 'shaders/gemm/workgroup.wgsl']),
  );
  const known =
    /^(package\.json|LICENSE|dist\/|shaders\/|src\/host\/(backdrop\.mjs|README\.md)$|src\/data\/(README\.md$|scenes\/(README\.md$|sprites\/))|README\.md$)/;
  expect(paths.filter((path) => !known.test(path) || /\.map$|\/wgsl\/|\.built$/.test(path))).toEqual([]);
}, 60_000);

it('bundles for the browser from its entry points', async () => {
  const { outputFiles, warnings } = await build({
    entryPoints: [join(folder, 'snippet.ts')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    logLevel: 'silent',
  });
  expect(warnings).toEqual([]);
  expect(outputFiles[0].text).toContain('createComputePipelineAsync');
});

it('has its worker beside the entry that starts it, in one piece', () => {
  // In a shared chunk the address would be below chunks/.
  expect(readFileSync(join(root, 'dist/data.js'), 'utf8')).toMatch(/new URL\("loader-worker\.js",import\.meta\.url\)/);
  expect(readFileSync(join(root, 'dist/loader-worker.js'), 'utf8')).not.toMatch(/^import|from"\.\//m);
});

it('touches no GPU when it is imported', () => {
  const entries = [
    'backdrop',
    'backdrop/checkpoints',
    'backdrop/data',
    'backdrop/evaluation',
    'backdrop/training',
    'backdrop/weights-tools',
  ];
  writeFileSync(
    join(folder, 'import.mjs'),
    entries.map((name, i) => `import * as m${i} from '${name}'; console.log(Object.keys(m${i}).length > 3);`).join('\n'),
  );
  expect(node(['import.mjs'], folder)).toBe('true\n'.repeat(entries.length));
});

it('has entry points that know each other: one takes the gradient of what another traces', () => {
  const code = `import { Graph, buildModel, ops } from 'backdrop';
    import { gradients } from 'backdrop/training';
    const graph = new Graph();
    const x = graph.input('x', [1, 4, 4, 8]);
    const y = ops.relu(ops.conv2d(x, graph.input('w', [1, 8, 8]), null, { kernel: [1, 1], stride: [1, 1], padding: [0, 0] }));
    console.log(gradients(graph, new Map([[y, y]]), [x]).get(x).shape.join());`;
  writeFileSync(join(folder, 'gradient.mjs'), code);
  expect(node(['gradient.mjs'], folder)).toBe('1,4,4,8\n');
});

it('has types that a strict project compiles with', () => {
  node([join(root, 'esbuild.config.mjs'), '--types']);
  node([tsc, '-p', 'tsconfig.types.json', '--outDir', join(packed, 'dist', 'types')]);
  const options = {
    strict: true,
    noEmit: true,
    target: 'es2022',
    module: 'esnext',
    moduleResolution: 'bundler',
    lib: ['es2022', 'dom'],
    types: [],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: options, files: ['snippet.ts', ...examples] }));
  // tsc tells on its standard output, which an error of execFileSync hides.
  const { stdout } = spawnSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' });
  expect(stdout).toBe('');
}, 600_000);
