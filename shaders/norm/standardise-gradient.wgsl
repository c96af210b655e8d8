// Third stage of the gradient of a normalisation over rows, where mean and variance are x's own:
//
//   u = (x - mean) * scale,  scale = 1 / sqrt(variance + eps)
//   dx[image, row, c] = scale * (weight[c] * g - shares[image, columns + c] - u * shares[image, c])
//
// with the shares of norm/standardise-join.wgsl: the group's means of weight * g * u and of weight * g.
// Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value.
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
  shares_batch: u32,
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  dx_offset: u32,
  dx_pitch: u32,
  dx_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> mean: array<Value>;
@group(0) @binding(2) var<storage, read> variance: array<Value>;
@group(0) @binding(3) var<storage, read> weight: array<Value>;
@group(0) @binding(4) var<storage, read> shares: array<Value>;
@group(0) @binding(5) var<storage, read> g: array<Value>;
@group(0) @binding(6) var<storage, read_write> dx: array<Value>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.rows) { return; }
  let c = index % params.columns;
  let image = group.z;
  let scale = inverseSqrt(variance[params.variance_offset + image * params.variance_batch + c] + params.eps);
  let d = x[params.x_offset + image * params.x_batch + row * params.x_pitch + c] - mean[params.mean_offset + image * params.mean_batch + c];
  let v = g[params.g_offset + image * params.g_batch + row * params.g_pitch + c] * weight[params.weight_offset + c];
  let share = image * params.shares_batch + c;
  dx[params.dx_offset + image * params.dx_batch + row * params.dx_pitch + c] =
    scale * (v - shares[share + params.columns] - d * scale * shares[share]);
}
