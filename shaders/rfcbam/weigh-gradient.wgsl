// Gradient of the weighing of an RFCBAMConv (rfcbam/weigh.wgsl), z = g * ca * sa, from that of z:
//
//   dg[image, cell, tap * C + c] = dz * ca[image, c] * sa,  sa = sigmoid(u) of the tap's pixel of the shuffled map
//   du[image, K * row + i, K * column + j] = sa * (1 - sa) * sum over c of dz * g * ca: what the 3x3 convolution gets
//
// and sa itself, tap by tap [image, cell * K * K + tap], from which ca's gradient is summed. One tap of one cell a thread. Value is
// vec4f, or f32 where C is no multiple of 4; g, dz and dg are rows of K * K * C. Grid: ceil(cells * K * K / 64) workgroups folded into
// x and y, z = images.

alias Value = vec4f;

struct Params {
  height: u32, // of g, in cells
  width: u32,
  side: u32, // K
  channels: u32, // C in Values
  g_offset: u32, // in Values
  g_pitch: u32, // from one cell to the next
  g_batch: u32, // from one image to the next
  dz_offset: u32,
  dz_pitch: u32,
  dz_batch: u32,
  dg_offset: u32,
  dg_pitch: u32,
  dg_batch: u32,
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
@group(0) @binding(4) var<storage, read> dz: array<Value>;
@group(0) @binding(5) var<storage, read_write> dg: array<Value>;
@group(0) @binding(6) var<storage, read_write> du: array<f32>;
@group(0) @binding(7) var<storage, read_write> sa: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

// hook
fn total(v: Value) -> f32 { return (v.x + v.y) + (v.z + v.w); }

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
  let index = (group.y * groups.x + group.x) * 64u + local;
  let image = group.z;
  let taps = params.side * params.side;
  let cell = index / taps;
  if (cell >= params.height * params.width) { return; }
  let tap = index - cell * taps;
  let row = cell / params.width * params.side + tap / params.side;
  let column = cell % params.width * params.side + tap % params.side;
  let attention = spatial(image, row, column);
  let first = params.g_offset + image * params.g_batch + cell * params.g_pitch + tap * params.channels;
  let upstream = params.dz_offset + image * params.dz_batch + cell * params.dz_pitch + tap * params.channels;
  let sink = params.dg_offset + image * params.dg_batch + cell * params.dg_pitch + tap * params.channels;
  let channel = params.ca_offset + image * params.ca_batch;
  var sum = Value();
  for (var c = 0u; c < params.channels; c++) {
    let v = dz[upstream + c] * ca[channel + c];
    dg[sink + c] = v * attention;
    sum = fma(v, g[first + c], sum);
  }
  let pixels = params.height * params.width * taps;
  sa[image * pixels + index] = attention;
  du[image * pixels + row * params.width * params.side + column] = total(sum) * attention * (1.0 - attention);
}
