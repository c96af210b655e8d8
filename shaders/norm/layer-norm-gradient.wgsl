// Gradient of layer normalisation (norm/layer-norm-rows.wgsl) with respect to x, and the rows' statistics:
//
//   u[c] = (x[row, c] - mean) * scale,  v[c] = g[row, c] * weight[c],  scale = 1 / sqrt(variance + eps)
//   dx[row, c] = scale * (v[c] - mean of v - u[c] * mean of (u * v))
//
// Mean and variance are computed again, in two passes as in the forward: statistics[row] = (mean, what rounding left of the
// mean, scale, 0) is what the gradients of weight and bias start from.
//
// One row a thread. Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value,
// those of statistics in vec4f. Grid: ceil(images * rows / 64) workgroups of 64, folded into x and y.

alias Value = vec4f;

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
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> weight: array<Value>;
@group(0) @binding(2) var<storage, read> g: array<Value>;
@group(0) @binding(3) var<storage, read_write> dx: array<Value>;
@group(0) @binding(4) var<storage, read_write> statistics: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

// hook
fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let line = (group.y * groups.x + group.x) * 64u + local;
  if (line >= params.images * params.rows) { return; }
  let row = line % params.rows;
  let image = line / params.rows;
  let first = params.x_offset + image * params.x_batch + row * params.x_pitch;
  let upstream = params.g_offset + image * params.g_batch + row * params.g_pitch;
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
    pulled = fma(g[upstream + c], weight[params.weight_offset + c], pulled);
  }
  let rest = total(deviation) / params.count;
  let variance = max(total(square) / params.count - rest * rest, 0.0);
  let scale = 1.0 / sqrt(variance + params.eps);
  let shift = total(pulled) / params.count;
  // Sums of u * (v - mean of v): the common part, which cancels anyway, is off before it can round.
  var turned = Value();
  for (var c = 0u; c < params.columns; c++) {
    let u = (x[first + c] - mean - rest) * scale;
    turned = fma(u, g[upstream + c] * weight[params.weight_offset + c] - shift, turned);
  }
  let turn = total(turned) / params.count;
  let sink = params.dx_offset + image * params.dx_batch + row * params.dx_pitch;
  for (var c = 0u; c < params.columns; c++) {
    let u = (x[first + c] - mean - rest) * scale;
    dx[sink + c] = (g[upstream + c] * weight[params.weight_offset + c] - shift - u * turn) * scale;
  }
  statistics[line] = vec4f(mean, rest, scale, 0.0);
}
