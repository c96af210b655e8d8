// Gradient of a convolution with respect to its weights, second stage: the sum of the parts' copies, in order.
//
//   y[tap, c, k] = epilogue(sum over parts p of x[p, tap, c, k])
//
// x: [parts, taps * rows, columns] without gaps; y: [taps, rows, columns], perhaps a window. One body for vec4f and scalars:
// the alias Value; offsets, pitches and counts are in Values. One Value a thread; 16 parts make a partial sum.
//
// Grid: count = ceil(taps * rows * columns / 64) workgroups, x = min(count, 65535), y = ceil(count / x), z = 1.
//
// Hook: epilogue sees each finished value (image: the tap, row: c, column: k).

alias Value = vec4f;

const BLOCK = 16u;

struct Params {
  parts: u32,
  taps: u32,
  rows: u32,
  columns: u32,
  y_offset: u32,
  y_pitch: u32, // from one row to the next
  y_batch: u32, // from one tap to the next
  extra0_offset: u32,
  extra0_pitch: u32,
  extra0_batch: u32,
  extra0_column: u32, // 1: one value a column, 0: one value a row
  extra1_offset: u32,
  extra1_pitch: u32,
  extra1_batch: u32,
  extra1_column: u32,
  extra2_offset: u32,
  extra2_pitch: u32,
  extra2_batch: u32,
  extra2_column: u32,
  extra3_offset: u32,
  extra3_pitch: u32,
  extra3_batch: u32,
  extra3_column: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read_write> y: array<Value>;
@group(0) @binding(2) var<storage, read> extra0: array<Value>;
@group(0) @binding(3) var<storage, read> extra1: array<Value>;
@group(0) @binding(4) var<storage, read> extra2: array<Value>;
@group(0) @binding(5) var<storage, read> extra3: array<Value>;
@group(0) @binding(6) var<uniform> params: Params;

fn extra0_at(image: u32, row: u32, column: u32) -> Value {
  return extra0[params.extra0_offset + image * params.extra0_batch + row * params.extra0_pitch + column * params.extra0_column];
}

fn extra1_at(image: u32, row: u32, column: u32) -> Value {
  return extra1[params.extra1_offset + image * params.extra1_batch + row * params.extra1_pitch + column * params.extra1_column];
}

fn extra2_at(image: u32, row: u32, column: u32) -> Value {
  return extra2[params.extra2_offset + image * params.extra2_batch + row * params.extra2_pitch + column * params.extra2_column];
}

fn extra3_at(image: u32, row: u32, column: u32) -> Value {
  return extra3[params.extra3_offset + image * params.extra3_batch + row * params.extra3_pitch + column * params.extra3_column];
}

// hook
fn epilogue(v: Value, image: u32, row: u32, column: u32) -> Value { return v; }

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let element = (group.y * workgroups.x + group.x) * 64u + local;
  let size = params.taps * params.rows * params.columns;
  if (element >= size) {
    return;
  }
  var total = Value();
  for (var first = 0u; first < params.parts; first += BLOCK) {
    var sum = Value();
    for (var p = first; p < min(first + BLOCK, params.parts); p++) {
      sum += x[p * size + element];
    }
    total += sum;
  }
  let line = element / params.columns;
  let column = element - line * params.columns;
  let tap = line / params.rows;
  let row = line - tap * params.rows;
  y[params.y_offset + tap * params.y_batch + row * params.y_pitch + column] = epilogue(total, tap, row, column);
}
