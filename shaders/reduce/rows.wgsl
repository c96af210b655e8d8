// Reduction over rows: y[image, chunk, c] = finish(join over rows r of the chunk of first(x[image, r, c])).
//
//   sum, mean   join = +
//   max, min    join = max, min
//   l2          first = square (FIRST = 1), join = +, finish = square root (LAST = 1)
//
// A long column is reduced in stages, each a launch of this kernel: chunks of `chunk` rows become one row of y each, and the
// next stage reduces those. The order of additions is fixed by the shapes alone. Only the first stage squares, only the last
// one multiplies with `factor` and takes the root.
//
// One column (one Value) of one chunk a thread, columns fastest. Value is vec4f, or f32 where columns are no multiple of 4.
// Grid: x = ceil(columns * chunks / 64) folded into x and y, z = images.

alias Value = vec4f;

const KIND: u32 = 0u; // specialise
const SUM = 0u;
const MAX = 1u;
const MIN = 2u;
const L2 = 3u;
const FIRST: u32 = 0u; // specialise
const LAST: u32 = 0u; // specialise

struct Params {
  rows: u32,
  columns: u32,
  chunk: u32, // rows of x that become one row of y
  chunks: u32,
  factor: f32,
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

fn load(i: u32) -> Value {
  let v = x[i];
  if ((KIND == L2) & (FIRST == 1u)) { return v * v; }
  return v;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let chunk = index / params.columns;
  if (chunk >= params.chunks) { return; }
  let column = index % params.columns;
  let start = params.x_offset + group.z * params.x_batch + column;
  let first = chunk * params.chunk;
  let end = min(first + params.chunk, params.rows);
  var v = load(start + first * params.x_pitch);
  for (var r = first + 1u; r < end; r++) {
    let next = load(start + r * params.x_pitch);
    if (KIND == MAX) { v = max(v, next); } else if (KIND == MIN) { v = min(v, next); } else { v += next; }
  }
  if (LAST == 1u) {
    if (KIND == L2) { v = sqrt(v); } else if (KIND == SUM) { v *= params.factor; }
  }
  y[params.y_offset + group.z * params.y_batch + chunk * params.y_pitch + column] = v;
}
