// The adapter's arithmetic ceiling: nothing but fused multiply-adds on registers.
//
//   repeat `loops` times: every accumulator v becomes v * factor + addend
//
// `main` keeps 16 f32, `vector` 8 vec4f: software adapters favour one, graphics cards the other, and the ceiling is the faster.
// factor and addend come from the uniform, and one accumulator sum is stored, so that no compiler can leave the loop out.
//
// Operations: 2 * 16 (main) or 2 * 32 (vector) a loop and thread. Grid: any number of workgroups of 64; y: one f32 a thread.

struct Params {
  loops: u32,
  factor: f32,
  addend: f32,
}

@group(0) @binding(0) var<storage, read_write> y: array<f32>;
@group(0) @binding(1) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = params.factor;
  let b = params.addend;
  let start = f32(id.x);
  var v0 = start;
  var v1 = start + 1.0;
  var v2 = start + 2.0;
  var v3 = start + 3.0;
  var v4 = start + 4.0;
  var v5 = start + 5.0;
  var v6 = start + 6.0;
  var v7 = start + 7.0;
  var v8 = start + 8.0;
  var v9 = start + 9.0;
  var v10 = start + 10.0;
  var v11 = start + 11.0;
  var v12 = start + 12.0;
  var v13 = start + 13.0;
  var v14 = start + 14.0;
  var v15 = start + 15.0;
  for (var i = 0u; i < params.loops; i++) {
    v0 = fma(v0, a, b);
    v1 = fma(v1, a, b);
    v2 = fma(v2, a, b);
    v3 = fma(v3, a, b);
    v4 = fma(v4, a, b);
    v5 = fma(v5, a, b);
    v6 = fma(v6, a, b);
    v7 = fma(v7, a, b);
    v8 = fma(v8, a, b);
    v9 = fma(v9, a, b);
    v10 = fma(v10, a, b);
    v11 = fma(v11, a, b);
    v12 = fma(v12, a, b);
    v13 = fma(v13, a, b);
    v14 = fma(v14, a, b);
    v15 = fma(v15, a, b);
  }
  y[id.x] = v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7 + v8 + v9 + v10 + v11 + v12 + v13 + v14 + v15;
}

@compute @workgroup_size(64)
fn vector(@builtin(global_invocation_id) id: vec3u) {
  let a = vec4f(params.factor);
  let b = vec4f(params.addend);
  let start = vec4f(f32(id.x), 1.0, 2.0, 3.0);
  var v0 = start;
  var v1 = start + 1.0;
  var v2 = start + 2.0;
  var v3 = start + 3.0;
  var v4 = start + 4.0;
  var v5 = start + 5.0;
  var v6 = start + 6.0;
  var v7 = start + 7.0;
  for (var i = 0u; i < params.loops; i++) {
    v0 = fma(v0, a, b);
    v1 = fma(v1, a, b);
    v2 = fma(v2, a, b);
    v3 = fma(v3, a, b);
    v4 = fma(v4, a, b);
    v5 = fma(v5, a, b);
    v6 = fma(v6, a, b);
    v7 = fma(v7, a, b);
  }
  y[id.x] = dot(v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7, vec4f(1.0));
}
