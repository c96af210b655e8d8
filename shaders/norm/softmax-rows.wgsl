// Softmax over the last dimension: y[row, c] = exp(x[row, c] - peak) / sum over columns k of exp(x[row, k] - peak), where peak is the row's largest.
// With LOG = 1 its logarithm, x[row, c] - peak - log(sum).
//
// This variant: one row a thread, no barriers, for software adapters and odd widths.
// Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value.
// Grid: ceil(images * rows / 64) workgroups of 64, folded into x and y.

alias Value = vec4f;

const LOG: u32 = 0u; // specialise

struct Params {
  images: u32,
  rows: u32,
  columns: u32, // in Value
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

// hook
fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }

// hook
fn largest(v: Value) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let line = (group.y * groups.x + group.x) * 64u + local;
  if (line >= params.images * params.rows) { return; }
  let row = line % params.rows;
  let image = line / params.rows;
  let first = params.x_offset + image * params.x_batch + row * params.x_pitch;
  let target_row = params.y_offset + image * params.y_batch + row * params.y_pitch;
  var high = x[first];
  for (var c = 1u; c < params.columns; c++) { high = max(high, x[first + c]); }
  let peak = largest(high);
  var sum = Value();
  if (LOG == 1u) {
    for (var c = 0u; c < params.columns; c++) { sum += exp(x[first + c] - peak); }
    let shift = log(total(sum));
    for (var c = 0u; c < params.columns; c++) { y[target_row + c] = x[first + c] - peak - shift; }
  } else {
    for (var c = 0u; c < params.columns; c++) {
      let e = exp(x[first + c] - peak);
      y[target_row + c] = e;
      sum += e;
    }
    let scale = 1.0 / total(sum);
    for (var c = 0u; c < params.columns; c++) { y[target_row + c] *= scale; }
  }
}
