import { describe, expect, it } from 'vitest';
import { declaration, minifyWgsl, readShader } from '../../src/host/wgsl-module.mjs';

const kernel = `// A kernel.
/* with /* nested */ comments */
struct Params { n: u32, scale: f32, shift: i32 }
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<uniform> params: Params;
override TILE: u32 = 4u;
override EPS: f32;
override FLAG: bool = true;
override CELLS = TILE * 2u;
const ROWS: u32 = 8u; // specialise
const OTHER = 3u;
// hook
fn epilogue(v: f32, i: u32) -> f32 { return v; }
@compute @workgroup_size(TILE, ROWS * 2u)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  y[id.x] = epilogue(x[id.x].x - -1.0, id.x) * params.scale;
}
`;
const read = (source: string, minify = false) => readShader('/shaders/a.wgsl', source, { name: 'a', minify });
const entry = '@compute @workgroup_size(1) fn main() {}';

describe('a WGSL module', () => {
  it('has what the file declares', () => {
    const shader = read(kernel);
    expect(shader).toMatchObject({
      name: 'a',
      code: kernel,
      bindings: [
        { name: 'x', binding: 0, access: 'read' },
        { name: 'y', binding: 1, access: 'read_write' },
      ],
      params: {
        binding: 2,
        size: 16,
        fields: { n: { offset: 0, type: 'u32' }, scale: { offset: 4, type: 'f32' }, shift: { offset: 8, type: 'i32' } },
      },
      entries: [{ name: 'main', workgroupSize: ['TILE', 'ROWS*2u', 1] }],
      hooks: { epilogue: 'fn epilogue(v: f32, i: u32) -> f32' },
      consts: ['ROWS'],
    });
    // CELLS is computed from TILE: nobody sets it.
    expect(shader.overrides).toEqual({ TILE: 4, EPS: null, FLAG: 1 });
  });

  it('loses comments and blanks when minified, but nothing else', () => {
    const shader = read(kernel, true);
    expect(shader.code).not.toMatch(/comments|\n| {2}/);
    expect(shader.code).toContain('x[id.x].x- -1.0');
    expect(shader.code).toContain(`${shader.hooks.epilogue}{return v;}`);
    expect({ ...read(shader.code), code: '', hooks: {}, consts: [] }).toEqual({ ...read(kernel), code: '', hooks: {}, consts: [] });
  });

  it('may use names that wgsl_reflect takes for keywords', () => {
    const source = `struct P { block: u32 }
      @group(0) @binding(0) var<storage> type: array<f32>;
      @group(0) @binding(1) var<uniform> params: P;
      @compute @workgroup_size(1) fn main() { let block = params.block; if (block >= 1u) { return; } }`;
    expect(read(source)).toMatchObject({ bindings: [{ name: 'type' }], params: { fields: { block: { offset: 0 } } } });
  });

  it('keeps tokens apart', () => {
    expect(minifyWgsl('a - -b; c & &d; e > = f; let  g = 1 . x;')).toBe('a- -b;c& &d;e> =f;let g=1 . x;');
  });

  it('gets a declaration with the names as types', () => {
    const text = declaration(read(kernel), '../src/gpu/shader.ts');
    expect(text).toContain("{ x: 'read'; y: 'read_write' }");
    expect(text).toContain("{ n: 'u32'; scale: 'f32'; shift: 'i32' }");
    expect(text).toContain("'TILE' | 'EPS' | 'FLAG'");
    expect(declaration(read(entry), 's')).toContain("Record<never, 'read'>,\n  Record<never, 'u32'>,\n  never,\n  never,\n  never");
  });

  it.each([
    ['fn main( {', /does not parse/],
    ['fn other() {}', /no compute entry point/],
    ['@compute fn main() {}', /has no @workgroup_size/],
    [`@group(1) @binding(0) var<storage> x: array<f32>; ${entry}`, /"x" is in @group\(1\)/],
    [
      `@group(0) @binding(0) var<storage> x: array<f32>; @group(0) @binding(0) var<storage> z: array<f32>; ${entry}`,
      /both use @binding\(0\)/,
    ],
    [`@group(0) @binding(0) var t: texture_2d<f32>; ${entry}`, /texture or sampler/],
    [`struct P { n: u32 } @group(0) @binding(0) var<uniform> p: P; ${entry}`, /called params/],
    [`struct P { n: vec2<f32> } @group(0) @binding(0) var<uniform> params: P; ${entry}`, /params\.n is vec2f/],
    [`// hook\nconst a = 1;\n${entry}`, /"\/\/ hook" in line 1 is not followed by a function/],
    [`const A = 1; // specialise\n${entry}`, /can be specialised/],
  ])('is refused with the file and the reason: %s', (source, reason) => {
    expect(() => read(source)).toThrow(reason);
    expect(() => read(source)).toThrow(/a\.wgsl: /);
  });
});
