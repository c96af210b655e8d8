// Joins the moments of chunks (reduce/moments.wgsl) of a group of columns, and of all images where IMAGES = 1:
//
//   mean = sum over chunks of n_k mean_k / n,   variance = (sum over chunks of squares_k + n_k (mean_k - mean)^2) / n
//
// (Chan, Golub and LeVeque's formula.) A group is `width` adjacent columns: 1 for batch norm, more for group norm. Every column
// of a group gets the group's result. Offsets of each chunk's mean from the first one are summed, so that a large common mean costs no digits.
// With RUNNING = 1 a batch norm's running statistics are moved too, the variance being the unbiased one there:
//
//   mean_after = share * mean + keep * running_mean,   variance_after = variance_share * variance + keep * running_variance
//
// All tensors are dense scalars: chunk_mean and chunk_squares [images, chunks, columns]; mean and variance [images or 1, 1, columns];
// the running ones [columns].
// One column of one image a thread. Grid: x = ceil(columns / 64), y = images, or 1.

const IMAGES: u32 = 0u; // specialise
const RUNNING: u32 = 0u; // specialise

struct Params {
  images: u32,
  rows: u32,
  columns: u32,
  chunk: u32,
  chunks: u32,
  width: u32,
  share: f32, // momentum
  variance_share: f32, // momentum * count / (count - 1)
  keep: f32, // 1 - momentum
  running_mean_offset: u32,
  running_variance_offset: u32,
  mean_after_offset: u32,
  variance_after_offset: u32,
}

@group(0) @binding(0) var<storage, read> chunk_mean: array<f32>;
@group(0) @binding(1) var<storage, read> chunk_squares: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> variance: array<f32>;
@group(0) @binding(4) var<storage, read> running_mean: array<f32>;
@group(0) @binding(5) var<storage, read> running_variance: array<f32>;
@group(0) @binding(6) var<storage, read_write> mean_after: array<f32>;
@group(0) @binding(7) var<storage, read_write> variance_after: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

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
  let middle = origin + offset;
  let spread = square / count;
  mean[group.y * params.columns + column] = middle;
  variance[group.y * params.columns + column] = spread;
  if (RUNNING == 1u) {
    mean_after[params.mean_after_offset + column] =
      middle * params.share + running_mean[params.running_mean_offset + column] * params.keep;
    variance_after[params.variance_after_offset + column] =
      spread * params.variance_share + running_variance[params.running_variance_offset + column] * params.keep;
  }
}
