// Gradient of layer normalisation (norm/layer-norm-rows.wgsl) with respect to x, and shares of those of weight and bias:
//
//   u[c] = (x[row, c] - mean) * scale,  v[c] = g[row, c] * weight[c],  scale = 1 / sqrt(variance + eps)
//   dx[row, c] = scale * (v[c] - mean of v - u[c] * mean of (u * v))
//   sums[chunk, c] = sum over the chunk's rows of g[row, c] * u[c],  sums[chunk, columns + c] = sum of g[row, c]
//
// Mean and variance are computed again, in two passes as in the forward. A chunk is 32 rows, counted through all images, half of a
// workgroup's; reduce/parts.wgsl adds the chunks. Every sum is in the order of the rows, so the bits do not depend on the run. With
// WEIGHTS = 0 there are no sums. `prologue` sees each value of g that is loaded (pixel: its row in the image).
//
// One row a thread; then, for the sums, one column. Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and
// strides are in Value. Grid: ceil(images * rows / 64) workgroups of 64, folded into x and y.

alias Value = vec4f;

const WEIGHTS: u32 = 1u; // specialise

const CHUNK = 32u;

struct Params {
  images: u32,
  rows: u32,
  columns: u32, // in Value
  count: f32, // scalars in a row
  eps: f32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  weight_offset: u32,
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  dx_offset: u32,
  dx_pitch: u32,
  dx_batch: u32,
  sums_offset: u32,
  extra0_offset: u32,
  extra0_pitch: u32,
  extra0_batch: u32,
  extra0_column: u32,
  extra1_offset: u32,
  extra1_pitch: u32,
  extra1_batch: u32,
  extra1_column: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> weight: array<Value>;
@group(0) @binding(2) var<storage, read> g: array<Value>;
@group(0) @binding(3) var<storage, read_write> dx: array<Value>;
@group(0) @binding(4) var<storage, read_write> sums: array<Value>;
@group(0) @binding(5) var<storage, read> extra0: array<Value>;
@group(0) @binding(6) var<storage, read> extra1: array<Value>;
@group(0) @binding(7) var<uniform> params: Params;

// Of the workgroup's rows: mean, what rounding left of the mean, scale.
var<workgroup> statistics: array<vec3f, 64>;

fn extra0_at(image: u32, row: u32, column: u32) -> Value {
  return extra0[params.extra0_offset + image * params.extra0_batch + row * params.extra0_pitch + column * params.extra0_column];
}

fn extra1_at(image: u32, row: u32, column: u32) -> Value {
  return extra1[params.extra1_offset + image * params.extra1_batch + row * params.extra1_pitch + column * params.extra1_column];
}

// hook
fn prologue(v: Value, image: u32, pixel: u32, k: u32) -> Value { return v; }

// hook
fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }

fn upstream(image: u32, row: u32, c: u32) -> Value {
  return prologue(g[params.g_offset + image * params.g_batch + row * params.g_pitch + c], image, row, c);
}

// dx of a row, and its statistics.
fn input_gradient(image: u32, row: u32) -> vec3f {
  let first = params.x_offset + image * params.x_batch + row * params.x_pitch;
  var sum = Value();
  for (var c = 0u; c < params.columns; c++) { sum += x[first + c]; }
  let mean = total(sum) / params.count;
  var deviation = Value();
  var square = Value();
  var pulled = Value();
  for (var c = 0u; c < params.columns; c++) {
    let d = x[first + c] - mean;
    deviation += d;
    square = fma(d, d, square);
    pulled = fma(upstream(image, row, c), weight[params.weight_offset + c], pulled);
  }
  let rest = total(deviation) / params.count;
  let variance = max(total(square) / params.count - rest * rest, 0.0);
  let scale = 1.0 / sqrt(variance + params.eps);
  let shift = total(pulled) / params.count;
  // Sums of u * (v - mean of v): the common part, which cancels anyway, is off before it can round.
  var turned = Value();
  for (var c = 0u; c < params.columns; c++) {
    let u = (x[first + c] - mean - rest) * scale;
    turned = fma(u, upstream(image, row, c) * weight[params.weight_offset + c] - shift, turned);
  }
  let turn = total(turned) / params.count;
  let sink = params.dx_offset + image * params.dx_batch + row * params.dx_pitch;
  for (var c = 0u; c < params.columns; c++) {
    let u = (x[first + c] - mean - rest) * scale;
    dx[sink + c] = (upstream(image, row, c) * weight[params.weight_offset + c] - shift - u * turn) * scale;
  }
  return vec3f(mean, rest, scale);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let block = group.y * groups.x + group.x;
  let lines = params.images * params.rows;
  let line = block * 64u + local;
  if (line < lines) { statistics[local] = input_gradient(line / params.rows, line % params.rows); }
  if (WEIGHTS == 0u) { return; }
  workgroupBarrier();
  for (var part = 2u * block; (part * CHUNK < lines) & (part < 2u * block + 2u); part++) {
    for (var c = local; c < params.columns; c += 64u) {
      var for_weight = Value();
      var for_bias = Value();
      for (var line = part * CHUNK; line < min(lines, (part + 1u) * CHUNK); line++) {
        let image = line / params.rows;
        let row = line % params.rows;
        let own = statistics[line % 64u];
        let u = (x[params.x_offset + image * params.x_batch + row * params.x_pitch + c] - own.x - own.y) * own.z;
        let v = upstream(image, row, c);
        for_weight = fma(v, u, for_weight);
        for_bias += v;
      }
      let sink = params.sums_offset + part * 2u * params.columns + c;
      sums[sink] = for_weight;
      sums[sink + params.columns] = for_bias;
    }
  }
}
