// Softmax over the last dimension: y[row, c] = exp(x[row, c] - peak) / sum over columns k of exp(x[row, k] - peak), where peak is the row's largest.
// With LOG = 1 its logarithm, x[row, c] - peak - log(sum).
//
// This variant: one row a workgroup of 64, for GPUs. A lane takes every 64th vec4f; a tree joins the lanes.
// Columns are a multiple of 4; offsets and strides are in vec4f. Grid: images * rows workgroups, folded into x and y.

alias Value = vec4f;

const LOG: u32 = 0u; // specialise

struct Params {
  images: u32,
  rows: u32,
  columns: u32, // in vec4f
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read_write> y: array<Value>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> lanes: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let line = group.y * groups.x + group.x;
  if (line >= params.images * params.rows) { return; }
  let row = line % params.rows;
  let image = line / params.rows;
  let first = params.x_offset + image * params.x_batch + row * params.x_pitch;
  let target_row = params.y_offset + image * params.y_batch + row * params.y_pitch;
  var high = x[first + min(local, params.columns - 1u)];
  for (var c = local + 64u; c < params.columns; c += 64u) { high = max(high, x[first + c]); }
  lanes[local] = max(max(high.x, high.y), max(high.z, high.w));
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (local < half) { lanes[local] = max(lanes[local], lanes[local + half]); }
    workgroupBarrier();
  }
  let peak = lanes[0];
  workgroupBarrier();
  var sum = Value();
  for (var c = local; c < params.columns; c += 64u) { sum += exp(x[first + c] - peak); }
  lanes[local] = (sum.x + sum.y) + (sum.z + sum.w);
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (local < half) { lanes[local] += lanes[local + half]; }
    workgroupBarrier();
  }
  let all = lanes[0];
  let scale = 1.0 / all;
  let shift = log(all);
  for (var c = local; c < params.columns; c += 64u) {
    let v = x[first + c] - peak;
    if (LOG == 1u) { y[target_row + c] = v - shift; } else { y[target_row + c] = exp(v) * scale; }
  }
}
