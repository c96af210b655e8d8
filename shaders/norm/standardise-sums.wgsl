// First stage of the gradient of a normalisation over rows (batch norm in training, group norm), chunk by chunk:
//
//   sums[image, chunk, c] = sum over rows of the chunk of g * (x - mean) / sqrt(variance + eps),  sums[image, chunk, columns + c] = sum of g
//
// Added over images and chunks (reduce/parts.wgsl) they are the gradients of weight and bias.
// One Value of one chunk a thread, columns fastest. Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets
// and strides are in Value. Grid: x = ceil(columns * chunks / 64) folded into x and y, z = images.

alias Value = vec4f;

struct Params {
  rows: u32,
  columns: u32,
  chunk: u32, // rows in a chunk
  chunks: u32,
  eps: f32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  mean_offset: u32,
  mean_batch: u32,
  variance_offset: u32,
  variance_batch: u32,
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  sums_offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> mean: array<Value>;
@group(0) @binding(2) var<storage, read> variance: array<Value>;
@group(0) @binding(3) var<storage, read> g: array<Value>;
@group(0) @binding(4) var<storage, read_write> sums: array<Value>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let chunk = index / params.columns;
  if (chunk >= params.chunks) { return; }
  let c = index % params.columns;
  let image = group.z;
  let centre = mean[params.mean_offset + image * params.mean_batch + c];
  let scale = inverseSqrt(variance[params.variance_offset + image * params.variance_batch + c] + params.eps);
  let x_first = params.x_offset + image * params.x_batch + c;
  let g_first = params.g_offset + image * params.g_batch + c;
  let first = chunk * params.chunk;
  let end = min(first + params.chunk, params.rows);
  var turned = Value();
  var sum = Value();
  for (var r = first; r < end; r++) {
    let v = g[g_first + r * params.g_pitch];
    turned = fma(v, x[x_first + r * params.x_pitch] - centre, turned);
    sum += v;
  }
  let sink = params.sums_offset + (image * params.chunks + chunk) * 2u * params.columns + c;
  sums[sink] = turned * scale;
  sums[sink + params.columns] = sum;
}
