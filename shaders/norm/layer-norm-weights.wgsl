// Gradients of layer normalisation's weight and bias, one chunk of rows at a time:
//
//   sums[chunk, c] = sum over rows of the chunk of g[row, c] * (x[row, c] - mean) * scale,  sums[chunk, columns + c] = sum of g[row, c]
//
// with each row's (mean, rest, scale) from norm/layer-norm-gradient.wgsl. Rows of all images count through; reduce/parts.wgsl adds
// the chunks. Every sum is in the order of the rows, so the bits do not depend on the run.
//
// One Value of one chunk a thread, columns fastest. Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets
// and strides are in Value. Grid: ceil(columns * chunks / 64) workgroups folded into x and y.

alias Value = vec4f;

struct Params {
  images: u32,
  rows: u32,
  columns: u32,
  chunk: u32, // rows in a chunk
  chunks: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  sums_offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> g: array<Value>;
@group(0) @binding(2) var<storage, read> statistics: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> sums: array<Value>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let chunk = index / params.columns;
  if (chunk >= params.chunks) { return; }
  let column = index % params.columns;
  let first = chunk * params.chunk;
  let end = min(first + params.chunk, params.images * params.rows);
  var weight = Value();
  var bias = Value();
  for (var line = first; line < end; line++) {
    let image = line / params.rows;
    let row = line % params.rows;
    let row_statistics = statistics[line];
    let u = (x[params.x_offset + image * params.x_batch + row * params.x_pitch + column] - row_statistics.x - row_statistics.y) * row_statistics.z;
    let v = g[params.g_offset + image * params.g_batch + row * params.g_pitch + column];
    weight = fma(v, u, weight);
    bias += v;
  }
  let sink = params.sums_offset + chunk * 2u * params.columns + column;
  sums[sink] = weight;
  sums[sink + params.columns] = bias;
}
