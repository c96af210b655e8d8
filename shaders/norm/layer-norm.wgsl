// Layer normalisation over the last dimension (Ba et al., arXiv 1607.06450):
//
//   y[row, c] = epilogue((x[row, c] - mean) / sqrt(variance + eps) * weight[c] + bias[c])
//
// Two passes over the row: the mean, then the sums of d = x - mean and of d * d. The mean of d is what rounding left of the
// mean; taking it off again keeps rows with a large common offset accurate, and variance = mean(d * d) - mean(d)^2.
//
// This variant: one row a workgroup of 64, for GPUs. A lane adds every 64th vec4f; a tree adds the lanes' sums.
// Columns are a multiple of 4; offsets and strides are in vec4f.
// Grid: images * rows workgroups, folded into x and y.

alias Value = vec4f;

struct Params {
  images: u32,
  rows: u32,
  columns: u32, // in vec4f
  count: f32, // scalars in a row
  eps: f32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  weight_offset: u32,
  bias_offset: u32,
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
@group(0) @binding(1) var<storage, read> weight: array<Value>;
@group(0) @binding(2) var<storage, read> bias: array<Value>;
@group(0) @binding(3) var<storage, read_write> y: array<Value>;
@group(0) @binding(4) var<storage, read> extra0: array<Value>;
@group(0) @binding(5) var<storage, read> extra1: array<Value>;
@group(0) @binding(6) var<storage, read> extra2: array<Value>;
@group(0) @binding(7) var<storage, read> extra3: array<Value>;
@group(0) @binding(8) var<uniform> params: Params;

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

var<workgroup> lanes: array<vec2f, 64>;

// The sum over the workgroup's lanes, in every lane.
fn total(v: vec2f, local: u32) -> vec2f {
  workgroupBarrier();
  lanes[local] = v;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (local < half) { lanes[local] += lanes[local + half]; }
    workgroupBarrier();
  }
  return lanes[0];
}

fn across(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let line = group.y * groups.x + group.x;
  if (line >= params.images * params.rows) { return; }
  let row = line % params.rows;
  let image = line / params.rows;
  let first = params.x_offset + image * params.x_batch + row * params.x_pitch;
  var sum = Value();
  for (var c = local; c < params.columns; c += 64u) { sum += x[first + c]; }
  let mean = total(vec2f(across(sum), 0.0), local).x / params.count;
  var deviation = Value();
  var square = Value();
  for (var c = local; c < params.columns; c += 64u) {
    let d = x[first + c] - mean;
    deviation += d;
    square = fma(d, d, square);
  }
  let sums = total(vec2f(across(deviation), across(square)), local) / params.count;
  let rest = sums.x;
  let scale = 1.0 / sqrt(max(sums.y - rest * rest, 0.0) + params.eps);
  let target_row = params.y_offset + image * params.y_batch + row * params.y_pitch;
  for (var c = local; c < params.columns; c += 64u) {
    let v = (x[first + c] - mean - rest) * scale;
    y[target_row + c] = epilogue(fma(v, weight[params.weight_offset + c], bias[params.bias_offset + c]), image, row, c);
  }
}
