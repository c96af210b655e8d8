// Gradient of rfcbam/statistics.wgsl: dg[image, cell, tap * C + c] = mean's / C, plus the maximum's at the first channel that is the largest.
//
// dy: pairs (maximum, mean) at the tap's pixel of the shuffled map. One tap of one cell a thread, in scalars.
// Grid: ceil(cells * K * K / 64) workgroups folded into x and y, z = images.

struct Params {
  height: u32, // of g, in cells
  width: u32,
  side: u32, // K
  channels: u32, // C
  scale: f32, // 1 / C
  g_offset: u32,
  g_pitch: u32, // from one cell to the next
  g_batch: u32, // from one image to the next
  dg_offset: u32,
  dg_pitch: u32,
  dg_batch: u32,
  dy_offset: u32,
  dy_pitch: u32, // from one pixel to the next
  dy_batch: u32,
}

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dg: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let image = group.z;
  let taps = params.side * params.side;
  let cell = index / taps;
  if (cell >= params.height * params.width) { return; }
  let tap = index - cell * taps;
  let first = params.g_offset + image * params.g_batch + cell * params.g_pitch + tap * params.channels;
  var largest = g[first];
  var at = 0u;
  for (var c = 1u; c < params.channels; c++) {
    let v = g[first + c];
    if (v > largest) {
      largest = v;
      at = c;
    }
  }
  let row = cell / params.width * params.side + tap / params.side;
  let column = cell % params.width * params.side + tap % params.side;
  let upstream = params.dy_offset + image * params.dy_batch + (row * params.width * params.side + column) * params.dy_pitch;
  let mean = dy[upstream + 1u] * params.scale;
  let sink = params.dg_offset + image * params.dg_batch + cell * params.dg_pitch + tap * params.channels;
  for (var c = 0u; c < params.channels; c++) { dg[sink + c] = mean + select(0.0, dy[upstream], c == at); }
}
