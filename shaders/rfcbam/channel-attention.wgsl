// Channel attention of an RFCBAMConv: y[image, c] = sigmoid(sum over r of fc2[r, c] * relu(sum over i of fc1[i, r] * mean[i])).
//
// mean[i] is the mean of channel i over the image; it arrives as sums over chunks of rows, `sums` [image, chunk, channel], from
// reduce/rows.wgsl, and is finished here in the order of the chunks. fc1: [CHANNELS, HIDDEN], fc2: [HIDDEN, CHANNELS], no biases.
//
// A workgroup an image: the whole perceptron is some thousand multiply-adds. Mean and hidden units wait in workgroup memory.
// Everything in scalars. Grid: x = images.

const CHANNELS: u32 = 256u; // specialise
const HIDDEN: u32 = 32u; // specialise

struct Params {
  chunks: u32,
  scale: f32, // 1 / pixels
  sums_offset: u32,
  sums_pitch: u32, // from one chunk to the next
  sums_batch: u32, // from one image to the next
  y_offset: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> sums: array<f32>;
@group(0) @binding(1) var<storage, read> fc1: array<f32>;
@group(0) @binding(2) var<storage, read> fc2: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

var<workgroup> mean: array<f32, CHANNELS>;
var<workgroup> hidden: array<f32, HIDDEN>;

// Only exp of -|x|, which cannot overflow.
fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(1.0, e, x < 0.0) / (1.0 + e);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = group.x;
  let first = params.sums_offset + image * params.sums_batch;
  for (var i = local; i < CHANNELS; i += 64u) {
    var sum = 0.0;
    for (var chunk = 0u; chunk < params.chunks; chunk++) {
      sum += sums[first + chunk * params.sums_pitch + i];
    }
    mean[i] = sum * params.scale;
  }
  workgroupBarrier();
  for (var r = local; r < HIDDEN; r += 64u) {
    var sum = 0.0;
    for (var i = 0u; i < CHANNELS; i++) {
      sum += fc1[i * HIDDEN + r] * mean[i];
    }
    hidden[r] = max(sum, 0.0);
  }
  workgroupBarrier();
  for (var c = local; c < CHANNELS; c += 64u) {
    var sum = 0.0;
    for (var r = 0u; r < HIDDEN; r++) {
      sum += fc2[r * CHANNELS + c] * hidden[r];
    }
    y[params.y_offset + image * params.y_batch + c] = sigmoid(sum);
  }
}
