// Joins the moments of chunks of rows (reduce/moments.wgsl) of a group of columns, and of all images where IMAGES = 1:
//
//   mean = sum over chunks of n_k mean_k / n,   variance = (sum over chunks of squares_k + n_k (mean_k - mean)^2) / n
//
// (Chan, Golub and LeVeque's formula.) A group is `width` adjacent columns: 1 for batch norm, more for group norm. Offsets of each
// chunk's mean from the first one are summed, so that a large common mean costs no digits. The results are what the normalisation
// and its gradient read, table [images or 1, 4, columns]: mean, 1 / sqrt(variance + eps), weight, bias; and with IMAGES = 1 what
// the running statistics move towards: batch_mean, and batch_variance, the unbiased one, variance * n / (n - 1).
//
// All in scalars: chunk_mean and chunk_squares [images, chunks, columns] and the table without gaps. One column of one image a
// thread. Grid: x = ceil(columns / 64), y = images, or 1.

const IMAGES: u32 = 0u; // specialise

struct Params {
  images: u32,
  rows: u32,
  columns: u32,
  chunk: u32,
  chunks: u32,
  width: u32,
  eps: f32,
  weight_offset: u32,
  bias_offset: u32,
  mean_offset: u32,
  variance_offset: u32,
}

@group(0) @binding(0) var<storage, read> chunk_mean: array<f32>;
@group(0) @binding(1) var<storage, read> chunk_squares: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> table: array<f32>;
@group(0) @binding(5) var<storage, read_write> batch_mean: array<f32>;
@group(0) @binding(6) var<storage, read_write> batch_variance: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let column = group.x * 64u + local;
  if (column >= params.columns) { return; }
  let first_column = column / params.width * params.width;
  let first_image = select(group.y, 0u, IMAGES == 1u);
  let last_image = select(group.y, params.images - 1u, IMAGES == 1u);
  let count = f32(params.rows * params.width * (last_image - first_image + 1u));
  let origin = chunk_mean[first_image * params.chunks * params.columns + first_column];
  var sum = 0.0;
  for (var image = first_image; image <= last_image; image++) {
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
      let n = f32(min(params.chunk, params.rows - chunk * params.chunk));
      let at = (image * params.chunks + chunk) * params.columns + first_column;
      for (var c = 0u; c < params.width; c++) { sum += n * (chunk_mean[at + c] - origin); }
    }
  }
  let offset = sum / count;
  var square = 0.0;
  for (var image = first_image; image <= last_image; image++) {
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
      let n = f32(min(params.chunk, params.rows - chunk * params.chunk));
      let at = (image * params.chunks + chunk) * params.columns + first_column;
      for (var c = 0u; c < params.width; c++) {
        let d = chunk_mean[at + c] - origin - offset;
        square += chunk_squares[at + c] + n * d * d;
      }
    }
  }
  let variance = square / count;
  let sink = group.y * 4u * params.columns + column;
  table[sink] = origin + offset;
  table[sink + params.columns] = inverseSqrt(variance + params.eps);
  table[sink + 2u * params.columns] = weight[params.weight_offset + column];
  table[sink + 3u * params.columns] = bias[params.bias_offset + column];
  if (IMAGES == 1u) {
    batch_mean[params.mean_offset + column] = origin + offset;
    batch_variance[params.variance_offset + column] = variance * (count / (count - 1.0));
  }
}
