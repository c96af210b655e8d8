// Pointwise operations with broadcasting: y[image, row, column] = epilogue(x[image, row, column]).
//
// The arithmetic stands in the table src/ops/pointwise.ts; the graph compiler puts a chain of its rows into `epilogue`, whose
// further operands are extra0..extra3. An operand that lacks images, rows or columns has a zero stride there and is repeated.
//
// As pointwise/pointwise.wgsl, in vec4f: counts, offsets and strides are in vec4f, and columns of all operands are multiples of 4.
// A thread handles 4 vec4f, 64 apart, so that neighbouring threads touch neighbouring memory; on software adapters, where a
// thread is a lane of a processor's vector, ADJACENT: one behind the other, which keeps to one cache line.
// Grid: ceil(images * rows * columns / 256) workgroups of 64, folded into x and y.

// FLAT: nothing is repeated and nothing lies between rows, so that the arrays are walked as one row (rows = images = 1)
// without divisions, which cost a processor more than the memory traffic.

alias Value = vec4f;

const FLAT: u32 = 0u; // specialise
const ADJACENT: u32 = 0u; // specialise

struct Params {
  images: u32,
  rows: u32,
  columns: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  x_column: u32, // from one column to the next: 1, or 0 where x is repeated
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
  extra0_offset: u32,
  extra0_pitch: u32,
  extra0_batch: u32,
  extra0_column: u32,
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

fn apply(index: u32) {
  let line = index / params.columns;
  let column = index - line * params.columns;
  let image = line / params.rows;
  let row = line - image * params.rows;
  if (image >= params.images) { return; }
  let v = x[params.x_offset + image * params.x_batch + row * params.x_pitch + column * params.x_column];
  y[params.y_offset + image * params.y_batch + row * params.y_pitch + column] = epilogue(v, image, row, column);
}

fn apply_flat(index: u32) {
  y[params.y_offset + index] = epilogue(x[params.x_offset + index * params.x_column], 0u, 0u, index);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let start = (group.y * groups.x + group.x) * 256u;
  let first = start + select(local, local * 4u, ADJACENT == 1u);
  let step = select(64u, 1u, ADJACENT == 1u);
  if (FLAT == 1u) {
    // One test for all four, but at the end.
    if (first + 3u * step < params.columns) {
      apply_flat(first);
      apply_flat(first + step);
      apply_flat(first + 2u * step);
      apply_flat(first + 3u * step);
    } else {
      for (var index = first; index < min(first + 4u * step, params.columns); index += step) { apply_flat(index); }
    }
    return;
  }
  apply(first);
  apply(first + step);
  apply(first + 2u * step);
  apply(first + 3u * step);
}
