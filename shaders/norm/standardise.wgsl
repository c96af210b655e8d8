// Normalisation with the table [images or 1, 4, columns] of norm/standardise-table.wgsl: mean, scale, weight, bias.
//
//   y[image, row, c] = epilogue((x[image, row, c] - mean) * (scale * weight) + bias)
//
// Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value.
// One Value a thread, columns fastest. Grid: x = ceil(rows * columns / 64) folded into x and y, z = images.

alias Value = vec4f;

struct Params {
  rows: u32,
  columns: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  table_batch: u32, // 0 where all images share the table
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
  extra0_offset: u32,
  extra0_pitch: u32,
  extra0_batch: u32,
  extra0_column: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> table: array<Value>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;
@group(0) @binding(3) var<storage, read> extra0: array<Value>;
@group(0) @binding(4) var<uniform> params: Params;

fn extra0_at(image: u32, row: u32, column: u32) -> Value {
  return extra0[params.extra0_offset + image * params.extra0_batch + row * params.extra0_pitch + column * params.extra0_column];
}

// hook
fn epilogue(v: Value, image: u32, row: u32, column: u32) -> Value { return v; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.rows) { return; }
  let c = index % params.columns;
  let image = group.z;
  let own = image * params.table_batch + c;
  let factor = table[own + params.columns] * table[own + 2u * params.columns];
  let d = x[params.x_offset + image * params.x_batch + row * params.x_pitch + c] - table[own];
  y[params.y_offset + image * params.y_batch + row * params.y_pitch + c] = epilogue(fma(d, factor, table[own + 3u * params.columns]), image, row, c);
}
