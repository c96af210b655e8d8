// Copies x to y with any order of up to four dimensions, and between tensors of different rows:
//   y element i (dense index over y's logical shape [d0, d1, d2, d3]) = x element i0 * s0 + i1 * s1 + i2 * s2 + i3 * s3 (dense index).
//
// A dense index over [images, rows, columns] is turned into an address with the tensor's offset, pitch and batch, so both
// sides may be windows of larger values. A reshape has the strides of the dense shape itself; a transpose permutes them.
// One element a thread, moved as 32 bits (u32 or f32 alike). Grid: ceil(d0 * d1 * d2 * d3 / 64) workgroups folded into x and y.

struct Params {
  d0: u32,
  d1: u32,
  d2: u32,
  d3: u32,
  s0: u32,
  s1: u32,
  s2: u32,
  s3: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  x_rows: u32,
  x_columns: u32,
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
  y_rows: u32,
  y_columns: u32,
}

@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= params.d0 * params.d1 * params.d2 * params.d3) { return; }
  let i3 = i % params.d3;
  let i2 = i / params.d3 % params.d2;
  let i1 = i / params.d3 / params.d2 % params.d1;
  let i0 = i / params.d3 / params.d2 / params.d1;
  let source = i0 * params.s0 + i1 * params.s1 + i2 * params.s2 + i3 * params.s3;
  let x_row = source / params.x_columns;
  let y_row = i / params.y_columns;
  y[params.y_offset + y_row / params.y_rows * params.y_batch + y_row % params.y_rows * params.y_pitch + i % params.y_columns] =
    x[params.x_offset + x_row / params.x_rows * params.x_batch + x_row % params.x_rows * params.x_pitch + source % params.x_columns];
}
