// Spatial attention of an RFCBAMConv: y = sigmoid of a 3x3 convolution (padding 1, no bias) of the shuffled map of statistics.
//
//   y[image, row, column] = sigmoid(sum over ky, kx, s of w[(ky * 3 + kx) * 2 + s] * x[image, row + ky - 1, column + kx - 1, s])
//
// s = 0: maximum, 1: mean. The map is K times as wide and high as the cells of the expansion, and the convolution reaches across
// their borders. Only run where the map itself is asked for: rfcbam/weigh.wgsl computes it on the way.
//
// One pixel of the map a thread. Grid: ceil(rows * columns / 64) workgroups folded into x and y, z = images.

struct Params {
  height: u32, // of the map
  width: u32,
  x_offset: u32, // in pairs
  x_pitch: u32, // from one pixel to the next
  x_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec2f>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

// Only exp of -|x|, which cannot overflow.
fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(1.0, e, x < 0.0) / (1.0 + e);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let pixel = (group.y * groups.x + group.x) * 64u + local;
  if (pixel >= params.height * params.width) { return; }
  let row = pixel / params.width;
  let column = pixel - row * params.width;
  let first = params.x_offset + group.z * params.x_batch;
  var sum = 0.0;
  for (var ky = 0u; ky < 3u; ky++) {
    for (var kx = 0u; kx < 3u; kx++) {
      // Position plus one: the padding is at 0 and behind the last.
      let at = vec2u(row + ky, column + kx);
      let inside = (at.x > 0u) & (at.y > 0u) & (at.x <= params.height) & (at.y <= params.width);
      let near = clamp(at, vec2u(1u), vec2u(params.height, params.width)) - 1u;
      let v = select(vec2f(), x[first + (near.x * params.width + near.y) * params.x_pitch], inside);
      let tap = (ky * 3u + kx) * 2u;
      sum += w[tap] * v.x + w[tap + 1u] * v.y;
    }
  }
  y[params.y_offset + group.z * params.y_batch + pixel * params.y_pitch] = sigmoid(sum);
}
