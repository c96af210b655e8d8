// Reduction over the last dimension: y[row] = finish(join over columns c of first(x[row, c])).
//
//   sum, mean   join = +
//   max, min    join = max, min
//   l2          first = square, join = +, finish = square root
//   var         join = + of (x - mean)^2 after a pass that finds the mean; divided by (columns - correction)
//
// One row a thread. Sums are taken over chunks of 64 Values that are then added, so that a long row's error stays that of a
// short one. Value is vec4f, or f32 where columns are no multiple of 4; x's columns, offset and strides are in Value.
// y has one column; its offset and strides are in scalars. Grid: ceil(images * rows / 64) workgroups of 64, folded into x and y.

alias Value = vec4f;

const KIND: u32 = 0u; // specialise
const SUM = 0u;
const MAX = 1u;
const MIN = 2u;
const L2 = 3u;
const VARIANCE = 4u;

const CHUNK = 64u;

struct Params {
  images: u32,
  rows: u32,
  columns: u32,
  count: f32, // scalars in a row
  factor: f32, // of a finished sum: 1, 1 / count, or 1 / (count - correction)
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

// hook
fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }

// hook
fn largest(v: Value) -> f32 { return max(max(v.x, v.y), max(v.z, v.w)); }

// hook
fn smallest(v: Value) -> f32 { return min(min(v.x, v.y), min(v.z, v.w)); }

fn sum_of(start: u32) -> f32 {
  var all = Value();
  for (var chunk = 0u; chunk < params.columns; chunk += CHUNK) {
    var sum = Value();
    let end = min(chunk + CHUNK, params.columns);
    for (var c = chunk; c < end; c++) { sum += x[start + c]; }
    all += sum;
  }
  return total(all);
}

// The sum of squares of x - shift, less what an inexact shift adds to it.
fn squares_of(start: u32, shift: f32) -> f32 {
  var all = Value();
  var all_rest = Value();
  for (var chunk = 0u; chunk < params.columns; chunk += CHUNK) {
    var sum = Value();
    var rest = Value();
    let end = min(chunk + CHUNK, params.columns);
    for (var c = chunk; c < end; c++) {
      let d = x[start + c] - shift;
      sum = fma(d, d, sum);
      rest += d;
    }
    all += sum;
    all_rest += rest;
  }
  let r = select(0.0, total(all_rest), KIND == VARIANCE);
  return max(total(all) - r * r / params.count, 0.0);
}

fn reduce(start: u32) -> f32 {
  if ((KIND == MAX) | (KIND == MIN)) {
    var best = x[start];
    for (var c = 1u; c < params.columns; c++) {
      if (KIND == MAX) { best = max(best, x[start + c]); } else { best = min(best, x[start + c]); }
    }
    return select(smallest(best), largest(best), KIND == MAX);
  }
  if (KIND == L2) { return sqrt(squares_of(start, 0.0)); }
  if (KIND == VARIANCE) { return squares_of(start, sum_of(start) / params.count) * params.factor; }
  return sum_of(start) * params.factor;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let line = (group.y * groups.x + group.x) * 64u + local;
  if (line >= params.images * params.rows) { return; }
  let row = line % params.rows;
  let image = line / params.rows;
  y[params.y_offset + image * params.y_batch + row * params.y_pitch] = reduce(params.x_offset + image * params.x_batch + row * params.x_pitch);
}
