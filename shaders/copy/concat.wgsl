// Up to four tensors side by side: along the columns (COLUMNS = 1) or below each other, image by image,
//
//   y[image, row, column] = x_t[image, row - start, column]  or  x_t[image, row, column - start]
//
// where start is what the tensors in front of x_t hold. A tensor that is not there ends where the one before it does. Moved as 32
// bits (f32 or u32 alike): Value is vec4u, or u32 where a tensor cannot be seen in vectors; columns, ends along them, offsets
// and strides are in Value. One Value a thread, columns fastest. Grid: ceil(rows * columns / 64) workgroups folded into x and y,
// z = images.

alias Value = vec4u;

const COLUMNS: u32 = 1u; // specialise

struct Params {
  rows: u32, // of y
  columns: u32,
  y_offset: u32,
  y_pitch: u32, // from one row to the next
  y_batch: u32, // from one image to the next
  x0_offset: u32,
  x0_pitch: u32,
  x0_batch: u32,
  end0: u32,
  x1_offset: u32,
  x1_pitch: u32,
  x1_batch: u32,
  end1: u32,
  x2_offset: u32,
  x2_pitch: u32,
  x2_batch: u32,
  end2: u32,
  x3_offset: u32,
  x3_pitch: u32,
  x3_batch: u32,
  end3: u32,
}

@group(0) @binding(0) var<storage, read> x0: array<Value>;
@group(0) @binding(1) var<storage, read> x1: array<Value>;
@group(0) @binding(2) var<storage, read> x2: array<Value>;
@group(0) @binding(3) var<storage, read> x3: array<Value>;
@group(0) @binding(4) var<storage, read_write> y: array<Value>;
@group(0) @binding(5) var<uniform> params: Params;

// Where a tensor with `strides` (offset, batch, pitch) that begins at `start` has the element of y at `place` (image, row, column).
fn source(place: vec3u, strides: vec3u, start: u32) -> u32 {
  let row = select(place.y - start, place.y, COLUMNS == 1u);
  let column = select(place.z, place.z - start, COLUMNS == 1u);
  return strides.x + place.x * strides.y + row * strides.z + column;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let place = vec3u(group.z, index / params.columns, index % params.columns);
  if (place.y >= params.rows) { return; }
  let sink = params.y_offset + place.x * params.y_batch + place.y * params.y_pitch + place.z;
  let at = select(place.y, place.z, COLUMNS == 1u);
  if (at < params.end0) {
    y[sink] = x0[source(place, vec3u(params.x0_offset, params.x0_batch, params.x0_pitch), 0u)];
    return;
  }
  if (at < params.end1) {
    y[sink] = x1[source(place, vec3u(params.x1_offset, params.x1_batch, params.x1_pitch), params.end0)];
    return;
  }
  if (at < params.end2) {
    y[sink] = x2[source(place, vec3u(params.x2_offset, params.x2_batch, params.x2_pitch), params.end1)];
    return;
  }
  if (at < params.end3) {
    y[sink] = x3[source(place, vec3u(params.x3_offset, params.x3_batch, params.x3_pitch), params.end2)];
    return;
  }
}
