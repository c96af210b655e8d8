// Gradient of norm/batch-norm.wgsl in one launch, from its table [4, columns]: mean, scale, weight, bias. With u = (x - mean) * scale
// and h = activated(g, v), the gradient with respect to what goes into the activation behind the norm, whose value v is computed again,
//
//   d_bias[c] = sum of h,  d_weight[c] = sum of h * u   over all images and rows
//   dx = scale * weight * (h - d_bias / count - u * d_weight / count)
//
// With RESIDUAL = 1 v has `residual` added to it, and h is stored, too: it is the gradient of that.
//
// A workgroup has COLUMNS adjacent columns (Values); its threads share their rows, walk them twice and add up in an order that the
// shape alone decides. Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value.
// Grid: x = ceil(columns / COLUMNS).

alias Value = vec4f;

const THREADS: u32 = 256u; // specialise: a power of 2, at least 16 * COLUMNS
const COLUMNS: u32 = 4u; // specialise: a power of 2
const LANES = THREADS / COLUMNS;
const JOINS = 16u; // threads of a column that join the lanes' sums
const RESIDUAL: u32 = 0u; // specialise

struct Params {
  images: u32,
  rows: u32,
  columns: u32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
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
  d_weight_offset: u32,
  d_bias_offset: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> table: array<Value>;
@group(0) @binding(2) var<storage, read> g: array<Value>;
@group(0) @binding(3) var<storage, read> residual: array<Value>;
@group(0) @binding(4) var<storage, read_write> dx: array<Value>;
@group(0) @binding(5) var<storage, read_write> d_residual: array<Value>;
@group(0) @binding(6) var<storage, read_write> d_weight: array<Value>;
@group(0) @binding(7) var<storage, read_write> d_bias: array<Value>;
@group(0) @binding(8) var<uniform> params: Params;

var<workgroup> sums: array<Value, THREADS>;

// hook
fn activated(g: Value, v: Value) -> Value { return g; }

// The sum over all lanes of a column, for each of its threads.
fn total(v: Value, local: u32) -> Value {
  let column = local % COLUMNS;
  let lane = local / COLUMNS;
  sums[local] = v;
  workgroupBarrier();
  var sum = Value();
  if (lane < JOINS) {
    for (var i = lane; i < LANES; i += JOINS) { sum += sums[i * COLUMNS + column]; }
  }
  workgroupBarrier();
  if (lane < JOINS) { sums[local] = sum; }
  workgroupBarrier();
  sum = Value();
  for (var i = 0u; i < JOINS; i++) { sum += sums[i * COLUMNS + column]; }
  workgroupBarrier();
  return sum;
}

struct Column {
  c: u32,
  mean: Value,
  factor: Value, // scale * weight
  bias: Value,
}

// x - mean, and h.
struct Element {
  d: Value,
  h: Value,
}

fn element(own: Column, image: u32, r: u32) -> Element {
  let d = x[params.x_offset + image * params.x_batch + r * params.x_pitch + own.c] - own.mean;
  var v = fma(d, own.factor, own.bias);
  if (RESIDUAL == 1u) { v += residual[params.residual_offset + image * params.residual_batch + r * params.residual_pitch + own.c]; }
  return Element(d, activated(g[params.g_offset + image * params.g_batch + r * params.g_pitch + own.c], v));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let column = group.x * COLUMNS + local % COLUMNS;
  let c = min(column, params.columns - 1u); // threads past the last column repeat it and store nothing
  let lane = local / COLUMNS;
  let count = f32(params.images * params.rows);
  let scale = table[params.columns + c];
  let own = Column(c, table[c], scale * table[2u * params.columns + c], table[3u * params.columns + c]);

  var turned = Value();
  var sum = Value();
  for (var image = 0u; image < params.images; image++) {
    for (var r = lane; r < params.rows; r += LANES) {
      let e = element(own, image, r);
      turned = fma(e.h, e.d, turned);
      sum += e.h;
    }
  }
  let weight_sum = total(turned, local) * scale;
  let bias_sum = total(sum, local);
  if (column >= params.columns) { return; }

  if (lane == 0u) {
    d_weight[params.d_weight_offset + c] = weight_sum;
    d_bias[params.d_bias_offset + c] = bias_sum;
  }
  let share = bias_sum / count;
  let slope = weight_sum / count * scale;
  for (var image = 0u; image < params.images; image++) {
    for (var r = lane; r < params.rows; r += LANES) {
      let e = element(own, image, r);
      dx[params.dx_offset + image * params.dx_batch + r * params.dx_pitch + c] = own.factor * (e.h - share - e.d * slope);
      if (RESIDUAL == 1u) {
        d_residual[params.d_residual_offset + image * params.d_residual_batch + r * params.d_residual_pitch + c] = e.h;
      }
    }
  }
}
