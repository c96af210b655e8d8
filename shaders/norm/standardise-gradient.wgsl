// Third stage of the gradient of a normalisation over rows. With u = (x - mean) * scale and h as in norm/standardise-sums.wgsl
//
//   dx[image, row, c] = scale * (weight[c] * h - shares[image, columns + c] - u * shares[image, c])
//
// with the shares of norm/standardise-shares.wgsl: the group's means of weight * h * u and of weight * h. With RESIDUAL = 1 h is
// stored, too: it is the gradient of the residual.
//
// Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value.
// One Value a thread, columns fastest. Grid: x = ceil(rows * columns / 64) folded into x and y, z = images.

alias Value = vec4f;

const RESIDUAL: u32 = 0u; // specialise

struct Params {
  rows: u32,
  columns: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  table_batch: u32, // 0 where all images share the table and the shares
  shares_batch: u32,
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  residual_offset: u32,
  residual_pitch: u32,
  residual_batch: u32,
  dx_offset: u32,
  dx_pitch: u32,
  dx_batch: u32,
  d_residual_offset: u32,
  d_residual_pitch: u32,
  d_residual_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> table: array<Value>;
@group(0) @binding(2) var<storage, read> shares: array<Value>;
@group(0) @binding(3) var<storage, read> g: array<Value>;
@group(0) @binding(4) var<storage, read> residual: array<Value>;
@group(0) @binding(5) var<storage, read_write> dx: array<Value>;
@group(0) @binding(6) var<storage, read_write> d_residual: array<Value>;
@group(0) @binding(7) var<uniform> params: Params;

// hook
fn activated(g: Value, v: Value) -> Value { return g; }

// x - mean, and h.
struct Element {
  d: Value,
  h: Value,
}

// own: c's first place in the table.
fn element(own: u32, image: u32, r: u32, c: u32) -> Element {
  let d = x[params.x_offset + image * params.x_batch + r * params.x_pitch + c] - table[own];
  var v = fma(d, table[own + params.columns] * table[own + 2u * params.columns], table[own + 3u * params.columns]);
  if (RESIDUAL == 1u) { v += residual[params.residual_offset + image * params.residual_batch + r * params.residual_pitch + c]; }
  return Element(d, activated(g[params.g_offset + image * params.g_batch + r * params.g_pitch + c], v));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.rows) { return; }
  let c = index % params.columns;
  let image = group.z;
  let own = image * params.table_batch + c;
  let e = element(own, image, row, c);
  let scale = table[own + params.columns];
  let share = image * params.shares_batch + c;
  dx[params.dx_offset + image * params.dx_batch + row * params.dx_pitch + c] =
    scale * (e.h * table[own + 2u * params.columns] - shares[share + params.columns] - e.d * scale * shares[share]);
  if (RESIDUAL == 1u) {
    d_residual[params.d_residual_offset + image * params.d_residual_batch + row * params.d_residual_pitch + c] = e.h;
  }
}
