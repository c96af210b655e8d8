// Batch norm in training, in one launch: statistics of each column over all images and rows, then the result.
//
//   mean[c] = mean of x[image, row, c],  variance[c] = mean of (x[image, row, c] - mean[c])^2
//   y[image, row, c] = epilogue((x - mean) * weight / sqrt(variance + eps) + bias)
//
// For the gradient it leaves table [4, columns]: mean, 1 / sqrt(variance + eps), weight, bias. For the running statistics it leaves
// batch_mean, and batch_variance, which is the unbiased one: variance * count / (count - 1).
//
// A workgroup has COLUMNS adjacent columns (Values); its threads share their rows, walk them three times and add up in an order
// that the shape alone decides. The deviations are taken from the mean that was found, and what rounding left of that is
// taken out of their squares, so that a large common mean costs no digits. For maps whose columns are in cache and short
// enough for few threads; others take reduce/moments.wgsl, norm/standardise-join.wgsl and norm/standardise.wgsl.
//
// Value is vec4f, or f32 where columns are no multiple of 4; columns, offsets and strides are in Value.
// Grid: x = ceil(columns / COLUMNS).

alias Value = vec4f;

const THREADS: u32 = 256u; // specialise: a power of 2, at least 16 * COLUMNS
const COLUMNS: u32 = 4u; // specialise: a power of 2
const LANES = THREADS / COLUMNS;
const JOINS = 16u; // threads of a column that join the lanes' sums

struct Params {
  images: u32,
  rows: u32,
  columns: u32,
  eps: f32,
  x_offset: u32,
  x_pitch: u32, // from one row to the next
  x_batch: u32, // from one image to the next
  weight_offset: u32,
  bias_offset: u32,
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
  mean_offset: u32,
  variance_offset: u32,
  extra0_offset: u32,
  extra0_pitch: u32,
  extra0_batch: u32,
  extra0_column: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> weight: array<Value>;
@group(0) @binding(2) var<storage, read> bias: array<Value>;
@group(0) @binding(3) var<storage, read_write> y: array<Value>;
@group(0) @binding(4) var<storage, read_write> table: array<Value>;
@group(0) @binding(5) var<storage, read_write> batch_mean: array<Value>;
@group(0) @binding(6) var<storage, read_write> batch_variance: array<Value>;
@group(0) @binding(7) var<storage, read> extra0: array<Value>;
@group(0) @binding(8) var<uniform> params: Params;

var<workgroup> sums: array<Value, THREADS>;

fn extra0_at(image: u32, row: u32, column: u32) -> Value {
  return extra0[params.extra0_offset + image * params.extra0_batch + row * params.extra0_pitch + column * params.extra0_column];
}

// hook
fn epilogue(v: Value, image: u32, row: u32, column: u32) -> Value { return v; }

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

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let column = group.x * COLUMNS + local % COLUMNS;
  let c = min(column, params.columns - 1u); // threads past the last column repeat it and store nothing
  let lane = local / COLUMNS;
  let count = f32(params.images * params.rows);

  var sum = Value();
  for (var image = 0u; image < params.images; image++) {
    let first = params.x_offset + image * params.x_batch + c;
    for (var r = lane; r < params.rows; r += LANES) { sum += x[first + r * params.x_pitch]; }
  }
  let middle = total(sum, local) / count;

  var square = Value();
  var rest = Value();
  for (var image = 0u; image < params.images; image++) {
    let first = params.x_offset + image * params.x_batch + c;
    for (var r = lane; r < params.rows; r += LANES) {
      let d = x[first + r * params.x_pitch] - middle;
      square = fma(d, d, square);
      rest += d;
    }
  }
  let left = total(rest, local) / count;
  let variance = max(total(square, local) / count - left * left, Value());
  let mean = middle + left;
  let scale = inverseSqrt(variance + params.eps);
  let own_weight = weight[params.weight_offset + c];
  let own_bias = bias[params.bias_offset + c];
  if (column >= params.columns) { return; }

  if (lane == 0u) {
    table[c] = mean;
    table[params.columns + c] = scale;
    table[2u * params.columns + c] = own_weight;
    table[3u * params.columns + c] = own_bias;
    batch_mean[params.mean_offset + c] = mean;
    batch_variance[params.variance_offset + c] = variance * (count / (count - 1.0));
  }
  let factor = scale * own_weight;
  for (var image = 0u; image < params.images; image++) {
    let from_x = params.x_offset + image * params.x_batch + c;
    let to_y = params.y_offset + image * params.y_batch + c;
    for (var r = lane; r < params.rows; r += LANES) {
      y[to_y + r * params.y_pitch] = epilogue(fma(x[from_x + r * params.x_pitch] - mean, factor, own_bias), image, r, c);
    }
  }
}
