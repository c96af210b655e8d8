// Gradient of a maximum or minimum along columns or rows: all of it goes to the first element that equals the result,
//
//   dx[i] = g where i is the line's first element with x[i] = y, else 0.
//
// A line has `count` elements, `step` apart: a row (lines are rows) or a column (lines are columns). In scalars; one line a thread.
// Grid: x = ceil(lines / 64) folded into x and y, z = images.

struct Params {
  lines: u32,
  count: u32,
  x_offset: u32,
  x_batch: u32, // from one image to the next
  x_line: u32, // from one line to the next
  x_step: u32,
  y_offset: u32,
  y_batch: u32,
  y_line: u32,
  g_offset: u32,
  g_batch: u32,
  g_line: u32,
  dx_offset: u32,
  dx_batch: u32,
  dx_line: u32,
  dx_step: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let line = (group.y * groups.x + group.x) * 64u + local;
  if (line >= params.lines) { return; }
  let result = y[params.y_offset + group.z * params.y_batch + line * params.y_line];
  let v = g[params.g_offset + group.z * params.g_batch + line * params.g_line];
  let first = params.x_offset + group.z * params.x_batch + line * params.x_line;
  let sink = params.dx_offset + group.z * params.dx_batch + line * params.dx_line;
  var open = true;
  for (var i = 0u; i < params.count; i++) {
    let hit = open & (x[first + i * params.x_step] == result);
    dx[sink + i * params.dx_step] = select(0.0, v, hit);
    open = open & !hit;
  }
}
