// Joins the moments of an image's chunks (reduce/moments.wgsl), column by column:
//
//   mean = sum over chunks of n_k mean_k / n,   variance = (sum over chunks of squares_k + n_k (mean_k - mean)^2) / n
//
// (Chan, Golub and LeVeque's formula.) Offsets of each chunk's mean from the first one are summed, so that a large common mean
// costs no digits. All tensors are dense scalars: chunk_mean and chunk_squares [images, chunks, columns]; mean and variance
// [images, 1, columns]. One column of one image a thread. Grid: x = ceil(columns / 64), y = images.

struct Params {
  rows: u32,
  columns: u32,
  chunk: u32,
  chunks: u32,
}

@group(0) @binding(0) var<storage, read> chunk_mean: array<f32>;
@group(0) @binding(1) var<storage, read> chunk_squares: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> variance: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let column = group.x * 64u + local;
  if (column >= params.columns) { return; }
  let first = group.y * params.chunks * params.columns + column;
  let count = f32(params.rows);
  let origin = chunk_mean[first];
  var sum = 0.0;
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let n = f32(min(params.chunk, params.rows - chunk * params.chunk));
    sum += n * (chunk_mean[first + chunk * params.columns] - origin);
  }
  let offset = sum / count;
  var square = 0.0;
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    let n = f32(min(params.chunk, params.rows - chunk * params.chunk));
    let d = chunk_mean[first + chunk * params.columns] - origin - offset;
    square += chunk_squares[first + chunk * params.columns] + n * d * d;
  }
  mean[group.y * params.columns + column] = origin + offset;
  variance[group.y * params.columns + column] = square / count;
}
