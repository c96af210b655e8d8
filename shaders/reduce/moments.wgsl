// Mean and sum of squared deviations of chunks of rows, column by column: the first stage of batch and group statistics.
//
//   mean[image, chunk, c] = mean over the chunk's rows of x[image, r, c]
//   squares[image, chunk, c] = sum over the chunk's rows of (x[image, r, c] - mean)^2
//
// Each chunk is walked twice while it is in cache, so that squares of deviations never cancel. reduce/join-moments.wgsl joins
// the chunks. One column (one Value) of one chunk a thread, columns fastest. Value is vec4f, or f32 where columns are no
// multiple of 4. mean and squares are dense, [images, chunks, columns]. Grid: x = ceil(columns * chunks / 64) folded into x and y, z = images.

alias Value = vec4f;

struct Params {
  rows: u32,
  columns: u32,
  chunk: u32, // rows in a chunk
  chunks: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read_write> mean: array<Value>;
@group(0) @binding(2) var<storage, read_write> squares: array<Value>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let chunk = index / params.columns;
  if (chunk >= params.chunks) { return; }
  let column = index % params.columns;
  let start = params.x_offset + group.z * params.x_batch + column;
  let first = chunk * params.chunk;
  let end = min(first + params.chunk, params.rows);
  let count = f32(end - first);
  var sum = Value();
  for (var r = first; r < end; r++) { sum += x[start + r * params.x_pitch]; }
  let middle = sum / count;
  var rest = Value();
  var square = Value();
  for (var r = first; r < end; r++) {
    let d = x[start + r * params.x_pitch] - middle;
    rest += d;
    square = fma(d, d, square);
  }
  // What rounding left of the chunk's mean.
  let correction = rest / count;
  let at = (group.z * params.chunks + chunk) * params.columns + column;
  mean[at] = middle + correction;
  squares[at] = max(square - rest * correction, Value());
}
