// Rows picked by index: y[image, r, c] = x[image, indices[image, r], c].
//
// x with one image and indices with one image are shared by all images (strides of zero). An index past the end takes the
// last row, so that nothing outside x is read. Moved as 32 bits (f32 or u32 alike): Value is vec4u, or u32 where columns are no
// multiple of 4; columns, offsets and strides are in Value, those of indices in scalars.
// One Value a thread, columns fastest. Grid: x = ceil(rows * columns / 64) folded into x and y, z = images.

alias Value = vec4u;

struct Params {
  rows: u32,
  columns: u32,
  x_rows: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  indices_offset: u32,
  indices_pitch: u32,
  indices_batch: u32,
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> indices: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.rows) { return; }
  let column = index % params.columns;
  let source = min(indices[params.indices_offset + group.z * params.indices_batch + row * params.indices_pitch], params.x_rows - 1u);
  y[params.y_offset + group.z * params.y_batch + row * params.y_pitch + column] =
    x[params.x_offset + group.z * params.x_batch + source * params.x_pitch + column];
}
