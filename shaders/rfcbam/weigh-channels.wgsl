// Gradient of the channel attention in an RFCBAMConv's weighing, z = g * ca * sa, chunk by chunk of taps:
//
//   sums[image, chunk, c] = sum over taps t of the chunk of dz[image, t, c] * g[image, t, c] * sa[image, t]
//
// with g and dz as rows of K * K * C, tap t = cell * K * K + tap, and sa of rfcbam/weigh-gradient.wgsl; reduce/rows.wgsl adds the chunks.
// One Value of one chunk a thread, columns fastest. Value is vec4f, or f32 where C is no multiple of 4.
// Grid: x = ceil(C * chunks / 64) folded into x and y, z = images.

alias Value = vec4f;

struct Params {
  count: u32, // taps of all cells of an image
  taps: u32, // of a cell
  channels: u32, // C in Values
  chunk: u32, // taps in a chunk
  chunks: u32,
  g_offset: u32, // in Values
  g_pitch: u32, // from one cell to the next
  g_batch: u32, // from one image to the next
  dz_offset: u32,
  dz_pitch: u32,
  dz_batch: u32,
}

@group(0) @binding(0) var<storage, read> g: array<Value>;
@group(0) @binding(1) var<storage, read> dz: array<Value>;
@group(0) @binding(2) var<storage, read> sa: array<f32>;
@group(0) @binding(3) var<storage, read_write> sums: array<Value>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let image = group.z;
  let chunk = index / params.channels;
  if (chunk >= params.chunks) { return; }
  let column = index % params.channels;
  let first = params.g_offset + image * params.g_batch + column;
  let upstream = params.dz_offset + image * params.dz_batch + column;
  var sum = Value();
  for (var t = chunk * params.chunk; t < min((chunk + 1u) * params.chunk, params.count); t++) {
    let cell = t / params.taps;
    let tap = (t - cell * params.taps) * params.channels;
    sum += g[first + cell * params.g_pitch + tap] * dz[upstream + cell * params.dz_pitch + tap] * sa[image * params.count + t];
  }
  sums[(image * params.chunks + chunk) * params.channels + column] = sum;
}
