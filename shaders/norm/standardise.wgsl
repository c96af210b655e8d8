// Normalisation with given statistics: y[image, row, c] = epilogue((x[image, row, c] - mean[c]) * weight[c] / sqrt(variance[c] + eps) + bias[c]).
//
// mean and variance are [1, 1, columns] for all images or [images, 1, columns] (a batch stride of zero, or not): batch norm in
// training and group norm. Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value.
// One Value a thread, columns fastest. Grid: x = ceil(rows * columns / 64) folded into x and y, z = images.

alias Value = vec4f;

struct Params {
  rows: u32,
  columns: u32,
  eps: f32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  mean_offset: u32,
  mean_batch: u32,
  variance_offset: u32,
  variance_batch: u32,
  weight_offset: u32,
  bias_offset: u32,
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
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
@group(0) @binding(1) var<storage, read> mean: array<Value>;
@group(0) @binding(2) var<storage, read> variance: array<Value>;
@group(0) @binding(3) var<storage, read> weight: array<Value>;
@group(0) @binding(4) var<storage, read> bias: array<Value>;
@group(0) @binding(5) var<storage, read_write> y: array<Value>;
@group(0) @binding(6) var<storage, read> extra0: array<Value>;
@group(0) @binding(7) var<storage, read> extra1: array<Value>;
@group(0) @binding(8) var<uniform> params: Params;

fn extra0_at(image: u32, row: u32, column: u32) -> Value {
  return extra0[params.extra0_offset + image * params.extra0_batch + row * params.extra0_pitch + column * params.extra0_column];
}

fn extra1_at(image: u32, row: u32, column: u32) -> Value {
  return extra1[params.extra1_offset + image * params.extra1_batch + row * params.extra1_pitch + column * params.extra1_column];
}

// hook
fn epilogue(v: Value, image: u32, row: u32, column: u32) -> Value { return v; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.rows) { return; }
  let c = index % params.columns;
  let image = group.z;
  let factor = inverseSqrt(variance[params.variance_offset + image * params.variance_batch + c] + params.eps) * weight[params.weight_offset + c];
  let d = x[params.x_offset + image * params.x_batch + row * params.x_pitch + c] - mean[params.mean_offset + image * params.mean_batch + c];
  y[params.y_offset + image * params.y_batch + row * params.y_pitch + c] = epilogue(fma(d, factor, bias[params.bias_offset + c]), image, row, c);
}
