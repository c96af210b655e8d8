/** Kernels read at run time are what the build makes of the same text. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { shaderFromText } from '../../src/gpu/shader-text.ts';
import { readShader } from '../../src/host/wgsl-module.mjs';
import { root } from '../../src/host/wgsl-plugin.mjs';

const folder = join(root, 'shaders');
const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter(({ name }) => name.endsWith('.wgsl'))
  .map(({ parentPath, name }) => join(parentPath, name));

it('has the bindings and uniform fields of every shader of ours', () => {
  expect(files.length).toBeGreaterThan(70);
  for (const file of files) {
    const text = readFileSync(file, 'utf8');
    if (!/fn main\b/.test(text)) continue;
    const { bindings, params } = readShader(file, text, { name: file });
    expect(shaderFromText(file, text), file).toMatchObject({ bindings, params });
  }
});

const kernel = `struct Params { n: u32, scale: f32 }
@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;
@compute @workgroup_size(8, 2) fn main() {}`;

it.each([
  ['no entry point', kernel.replace('main', 'other'), /entry point main/],
  ['no buffer', kernel.replace('@binding(0) var<storage, read_write>', '@binding(0) var<workgroup>'), /storage buffer/],
  ['a vector among the fields', kernel.replace('scale: f32', 'scale: vec2f'), /"scale: vec2f" of Params/],
  ['no struct', kernel.replace('struct Params', 'struct Other'), /no struct Params/],
])('says what is wrong: %s', (_, text, message) => {
  expect(() => shaderFromText('k', text)).toThrow(expect.objectContaining({ code: 'E_INPUT', message: expect.stringMatching(message) }));
  expect(shaderFromText('k', kernel).entries).toEqual([{ name: 'main', workgroupSize: [8, 2] }]);
});
