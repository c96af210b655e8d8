// Addition at rows picked by index: y[image, r, c] = x[image, r, c] + sum over k with indices[image, k, c] = r of source[image, k, c].
//
// Each element of y looks for what comes to it, in the order of k: no atomics, the same bits in every run. indices may have one
// column for all columns of source (a stride of zero). All offsets and strides are in scalars.
// One element a thread, columns fastest. Grid: x = ceil(rows * columns / 64) folded into x and y, z = images.

struct Params {
  rows: u32,
  columns: u32,
  count: u32, // rows of source
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  source_offset: u32,
  source_pitch: u32,
  source_batch: u32,
  indices_offset: u32,
  indices_pitch: u32,
  indices_batch: u32,
  indices_column: u32, // 1, or 0 where one index holds for a whole row
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.rows) { return; }
  let column = index % params.columns;
  let from_index = params.indices_offset + group.z * params.indices_batch + column * params.indices_column;
  let from_source = params.source_offset + group.z * params.source_batch + column;
  var v = x[params.x_offset + group.z * params.x_batch + row * params.x_pitch + column];
  for (var k = 0u; k < params.count; k++) {
    if (indices[from_index + k * params.indices_pitch] == row) { v += source[from_source + k * params.source_pitch]; }
  }
  y[params.y_offset + group.z * params.y_batch + row * params.y_pitch + column] = v;
}
