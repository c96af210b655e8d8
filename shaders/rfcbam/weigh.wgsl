// The doubly weighted expansion of an RFCBAMConv, which `fuse` multiplies with its weights:
//
//   y[image, cell, tap * C + c] = g[image, cell, tap * C + c] * ca[image, c] * sa[image, K * row + i, K * column + j]
//
// with tap = K * i + j, and sa the spatial attention: sigmoid of a 3x3 convolution (padding 1, no bias) of the shuffled map
// of statistics, x [image, K * height, K * width, (max, mean)]; w: [9, 2]. g and y are dense rows of K * K * C.
//
// Applied while fuse loads g, both attentions were read again for every few columns of its output, and the matrix product took
// three times as long; one pass over g is a few per cent of it.
//
// A thread weighs up to 8 Values of one tap of one cell, and first computes that tap's sa. Value is vec4f, or f32 where C is no
// multiple of 4. Grid: ceil(cells * K * K * ceil(C / 8) / 64) workgroups folded into x and y, z = images.

alias Value = vec4f;

const RUN = 8u;

struct Params {
  height: u32, // of g, in cells
  width: u32,
  side: u32, // K
  channels: u32, // C in Values
  g_offset: u32, // in Values
  g_pitch: u32, // from one cell to the next
  g_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
  ca_offset: u32,
  ca_batch: u32,
  x_offset: u32, // in pairs
  x_pitch: u32, // from one pixel to the next
  x_batch: u32,
}

@group(0) @binding(0) var<storage, read> g: array<Value>;
@group(0) @binding(1) var<storage, read> ca: array<Value>;
@group(0) @binding(2) var<storage, read> x: array<vec2f>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<Value>;
@group(0) @binding(5) var<uniform> params: Params;

// Only exp of -|x|, which cannot overflow.
fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(1.0, e, x < 0.0) / (1.0 + e);
}

fn spatial(image: u32, row: u32, column: u32) -> f32 {
  let size = vec2u(params.height, params.width) * params.side;
  let first = params.x_offset + image * params.x_batch;
  var sum = 0.0;
  for (var ky = 0u; ky < 3u; ky++) {
    for (var kx = 0u; kx < 3u; kx++) {
      // Position plus one: the padding is at 0 and behind the last.
      let at = vec2u(row + ky, column + kx);
      let inside = (at.x > 0u) & (at.y > 0u) & (at.x <= size.x) & (at.y <= size.y);
      let near = clamp(at, vec2u(1u), size) - 1u;
      let v = select(vec2f(), x[first + (near.x * size.y + near.y) * params.x_pitch], inside);
      let tap = (ky * 3u + kx) * 2u;
      sum += w[tap] * v.x + w[tap + 1u] * v.y;
    }
  }
  return sigmoid(sum);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = group.z;
  let index = (group.y * groups.x + group.x) * 64u + local;
  let runs = (params.channels + RUN - 1u) / RUN;
  let place = index / runs; // cell and tap
  let taps = params.side * params.side;
  let cell = place / taps;
  if (cell >= params.height * params.width) { return; }
  let tap = place - cell * taps;
  let i = tap / params.side;
  let row = cell / params.width;
  let attention = spatial(image, row * params.side + i, (cell - row * params.width) * params.side + tap - i * params.side);
  let first = (index - place * runs) * RUN;
  let source = params.g_offset + image * params.g_batch + cell * params.g_pitch + tap * params.channels;
  let sink = params.y_offset + image * params.y_batch + cell * params.y_pitch + tap * params.channels;
  let channel = params.ca_offset + image * params.ca_batch;
  for (var c = first; c < min(first + RUN, params.channels); c++) {
    y[sink + c] = g[source + c] * ca[channel + c] * attention;
  }
}
