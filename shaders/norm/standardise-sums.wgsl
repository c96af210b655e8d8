// First stage of the gradient of a normalisation over rows (norm/standardise.wgsl), chunk by chunk, from its table of mean, scale,
// weight and bias. With h = activated(g, v), the gradient with respect to what goes into the activation behind the norm, whose
// value v (with RESIDUAL = 1 `residual` is added to it) is computed again,
//
//   sums[image, chunk, c] = sum over rows of the chunk of h * (x - mean) * scale,  sums[image, chunk, columns + c] = sum of h
//
// Added over images and chunks (reduce/parts.wgsl) they are the gradients of weight and bias.
//
// One Value of one chunk a thread, columns fastest. Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets
// and strides are in Value. Grid: x = ceil(columns * chunks / 64) folded into x and y, z = images.

alias Value = vec4f;

const RESIDUAL: u32 = 0u; // specialise

struct Params {
  rows: u32,
  columns: u32,
  chunk: u32, // rows in a chunk
  chunks: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  table_batch: u32, // 0 where all images share the table
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  residual_offset: u32,
  residual_pitch: u32,
  residual_batch: u32,
  sums_offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> table: array<Value>;
@group(0) @binding(2) var<storage, read> g: array<Value>;
@group(0) @binding(3) var<storage, read> residual: array<Value>;
@group(0) @binding(4) var<storage, read_write> sums: array<Value>;
@group(0) @binding(5) var<uniform> params: Params;

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
  let chunk = index / params.columns;
  if (chunk >= params.chunks) { return; }
  let c = index % params.columns;
  let image = group.z;
  let own = image * params.table_batch + c;
  let first = chunk * params.chunk;
  let end = min(first + params.chunk, params.rows);
  var turned = Value();
  var sum = Value();
  for (var r = first; r < end; r++) {
    let e = element(own, image, r, c);
    turned = fma(e.h, e.d, turned);
    sum += e.h;
  }
  let sink = params.sums_offset + (image * params.chunks + chunk) * 2u * params.columns + c;
  sums[sink] = turned * table[own + params.columns];
  sums[sink + params.columns] = sum;
}
