// Batched matrix product with broadcasting and either operand transposed: y[o, i, m, n] = epilogue(sum over k of a[o, i, m, k] * b[o, i, k, n]).
//
// A matrix of a batch is found by an outer index o and an inner one i (the first and second of up to two batch dimensions); an
// operand that lacks one has a zero stride there. Rows, columns and K are stepped with strides of their own, so that a
// transposed operand is only one whose strides are swapped.
//
// Each thread holds 4 rows x 4 columns of y, rows and columns 8 apart so that neighbouring threads read neighbouring columns;
// a workgroup of 8 x 8 threads makes 32 x 32. Sums run over at most 64 products before they are added to the total.
// All counts, offsets and strides are in scalars. Grid: x = ceil(columns / 32), y = ceil(rows / 32), z = outer * inner.
// The epilogue sees y as [outer, inner * rows, columns].

alias Value = f32;

const K_CHUNK = 64u;

struct Params {
  inner: u32,
  rows: u32,
  columns: u32,
  k: u32,
  a_offset: u32,
  a_outer: u32,
  a_inner: u32,
  a_row: u32,
  a_k: u32,
  b_offset: u32,
  b_outer: u32,
  b_inner: u32,
  b_k: u32,
  b_column: u32,
  y_offset: u32,
  y_pitch: u32, // from one row to the next
  y_batch: u32, // from one outer matrix to the next
  extra0_offset: u32,
  extra0_pitch: u32,
  extra0_batch: u32,
  extra0_column: u32,
  extra1_offset: u32,
  extra1_pitch: u32,
  extra1_batch: u32,
  extra1_column: u32,
  extra2_offset: u32,
  extra2_pitch: u32,
  extra2_batch: u32,
  extra2_column: u32,
  extra3_offset: u32,
  extra3_pitch: u32,
  extra3_batch: u32,
  extra3_column: u32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> extra0: array<Value>;
@group(0) @binding(4) var<storage, read> extra1: array<Value>;
@group(0) @binding(5) var<storage, read> extra2: array<Value>;
@group(0) @binding(6) var<storage, read> extra3: array<Value>;
@group(0) @binding(7) var<uniform> params: Params;

fn extra0_at(image: u32, row: u32, column: u32) -> Value {
  return extra0[params.extra0_offset + image * params.extra0_batch + row * params.extra0_pitch + column * params.extra0_column];
}

fn extra1_at(image: u32, row: u32, column: u32) -> Value {
  return extra1[params.extra1_offset + image * params.extra1_batch + row * params.extra1_pitch + column * params.extra1_column];
}

fn extra2_at(image: u32, row: u32, column: u32) -> Value {
  return extra2[params.extra2_offset + image * params.extra2_batch + row * params.extra2_pitch + column * params.extra2_column];
}

fn extra3_at(image: u32, row: u32, column: u32) -> Value {
  return extra3[params.extra3_offset + image * params.extra3_batch + row * params.extra3_pitch + column * params.extra3_column];
}

// hook
fn epilogue(v: Value, image: u32, row: u32, column: u32) -> Value { return v; }

// Four rows of a at one k; rows past the end repeat the last one, so that nothing outside a is read.
fn load_a(at: vec4u, k: u32) -> vec4f {
  let i = at + k * params.a_k;
  return vec4f(a[i.x], a[i.y], a[i.z], a[i.w]);
}

fn load_b(at: vec4u, k: u32) -> vec4f {
  let i = at + k * params.b_k;
  return vec4f(b[i.x], b[i.y], b[i.z], b[i.w]);
}

fn store(v: vec4f, outer: u32, inner: u32, row: u32, columns: vec4u) {
  if (row >= params.rows) { return; }
  let line = inner * params.rows + row;
  let at = params.y_offset + outer * params.y_batch + line * params.y_pitch;
  if (columns.x < params.columns) { y[at + columns.x] = epilogue(v.x, outer, line, columns.x); }
  if (columns.y < params.columns) { y[at + columns.y] = epilogue(v.y, outer, line, columns.y); }
  if (columns.z < params.columns) { y[at + columns.z] = epilogue(v.z, outer, line, columns.z); }
  if (columns.w < params.columns) { y[at + columns.w] = epilogue(v.w, outer, line, columns.w); }
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let outer = group.z / params.inner;
  let inner = group.z % params.inner;
  let rows = group.y * 32u + local.y + vec4u(0u, 8u, 16u, 24u);
  let columns = group.x * 32u + local.x + vec4u(0u, 8u, 16u, 24u);
  let a_at = params.a_offset + outer * params.a_outer + inner * params.a_inner + min(rows, vec4u(params.rows - 1u)) * params.a_row;
  let b_at = params.b_offset + outer * params.b_outer + inner * params.b_inner + min(columns, vec4u(params.columns - 1u)) * params.b_column;
  var t0 = vec4f(); var t1 = vec4f(); var t2 = vec4f(); var t3 = vec4f();
  for (var first = 0u; first < params.k; first += K_CHUNK) {
    let end = min(first + K_CHUNK, params.k);
    var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
    for (var k = first; k < end; k++) {
      let p = load_a(a_at, k);
      let q = load_b(b_at, k);
      s0 = fma(vec4f(p.x), q, s0);
      s1 = fma(vec4f(p.y), q, s1);
      s2 = fma(vec4f(p.z), q, s2);
      s3 = fma(vec4f(p.w), q, s3);
    }
    t0 += s0; t1 += s1; t2 += s2; t3 += s3;
  }
  store(t0, outer, inner, rows.x, columns);
  store(t1, outer, inner, rows.y, columns);
  store(t2, outer, inner, rows.z, columns);
  store(t3, outer, inner, rows.w, columns);
}
