// Gradient of softmax over the last dimension, from its result y and the gradient g of that:
//
//   dx[row, c] = y[row, c] * (g[row, c] - sum over columns k of g[row, k] * y[row, k])
//
// With LOG = 1 y is the logarithm: dx[row, c] = g[row, c] - exp(y[row, c]) * sum over k of g[row, k].
//
// One row a thread. Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value.
// Grid: ceil(images * rows / 64) workgroups of 64, folded into x and y.

alias Value = vec4f;

const LOG: u32 = 0u; // specialise

struct Params {
  images: u32,
  rows: u32,
  columns: u32, // in Value
  y_offset: u32,
  y_pitch: u32, // from one row to the next
  y_batch: u32, // from one image to the next
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  dx_offset: u32,
  dx_pitch: u32,
  dx_batch: u32,
}

@group(0) @binding(0) var<storage, read> y: array<Value>;
@group(0) @binding(1) var<storage, read> g: array<Value>;
@group(0) @binding(2) var<storage, read_write> dx: array<Value>;
@group(0) @binding(3) var<uniform> params: Params;

// hook
fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let line = (group.y * groups.x + group.x) * 64u + local;
  if (line >= params.images * params.rows) { return; }
  let row = line % params.rows;
  let image = line / params.rows;
  let first = params.y_offset + image * params.y_batch + row * params.y_pitch;
  let upstream = params.g_offset + image * params.g_batch + row * params.g_pitch;
  let sink = params.dx_offset + image * params.dx_batch + row * params.dx_pitch;
  var sum = Value();
  for (var c = 0u; c < params.columns; c++) {
    if (LOG == 1u) { sum += g[upstream + c]; } else { sum = fma(g[upstream + c], y[first + c], sum); }
  }
  let all = total(sum);
  for (var c = 0u; c < params.columns; c++) {
    let v = g[upstream + c];
    if (LOG == 1u) { dx[sink + c] = v - exp(y[first + c]) * all; } else { dx[sink + c] = y[first + c] * (v - all); }
  }
}
