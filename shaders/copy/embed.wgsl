// Zeros with x at a row and column: y[image, r, c] = x[image, r - row, c - column] inside x, 0 elsewhere. What the gradient of
// a window is: its own place in the whole.
//
// One element of y a thread; counts, offsets and strides in scalars. Grid: ceil(images * rows * columns / 64) workgroups
// folded into x and y.

struct Params {
  images: u32,
  rows: u32, // of y
  columns: u32,
  row: u32, // where x begins in y
  column: u32,
  x_rows: u32,
  x_columns: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  let column = i % params.columns;
  let row = i / params.columns % params.rows;
  let image = i / params.columns / params.rows;
  if (image >= params.images) { return; }
  let inner = vec2u(row - params.row, column - params.column); // before x it wraps to a huge one
  let inside = (inner.x < params.x_rows) & (inner.y < params.x_columns);
  let at = params.x_offset + image * params.x_batch + select(0u, inner.x * params.x_pitch + inner.y, inside);
  y[params.y_offset + image * params.y_batch + row * params.y_pitch + column] = select(0.0, x[at], inside);
}
