// Second pass of Pillow's antialiased bilinear resize, and the step from bytes to numbers from 0 to 1:
//
//   y[image, row, x, c] = level[clip8((2^21 + sum over t < count(row) of pixels[image, first(row) + t, x].c * weight(row, t)) >> 22)]
//
// pixels and table as in columns.wgsl, with a table row for each row of y. level[v] is v / 255 rounded to the nearest float32,
// a table because WGSL's division may be off in the last bits. y: [images, rows, width, 3].
// Grid: ceil(rows * width / 64) workgroups folded into x and y; z = images.

struct Params {
  rows: u32, // of y
  width: u32,
  taps: u32,
  pixels_offset: u32,
  pixels_pitch: u32, // from one row to the next
  pixels_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32, // from one pixel to the next
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read> level: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

const PRECISION = 22u;

fn unpack(p: u32) -> vec3u {
  return vec3u(p & 255u, (p >> 8u) & 255u, (p >> 16u) & 255u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = (group.y * groups.x + group.x) * 64u + local;
  if (i >= params.rows * params.width) { return; }
  let row = i / params.width;
  let x = i % params.width;
  let entry = row * (params.taps + 2u);
  let source = params.pixels_offset + group.z * params.pixels_batch + table[entry] * params.pixels_pitch + x;
  let count = table[entry + 1u];
  var sum = vec3u(1u << (PRECISION - 1u));
  for (var t = 0u; t < count; t++) {
    sum += unpack(pixels[source + t * params.pixels_pitch]) * table[entry + 2u + t];
  }
  let c = min(sum >> vec3u(PRECISION), vec3u(255u));
  let to = params.y_offset + group.z * params.y_batch + i * params.y_pitch;
  y[to] = level[c.x];
  y[to + 1u] = level[c.y];
  y[to + 2u] = level[c.z];
}
