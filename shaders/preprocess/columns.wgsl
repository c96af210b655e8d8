// First pass of Pillow's antialiased bilinear resize: every row is resampled to the new width, to 8 bits again.
//
//   y[image, row, x] = clip8((2^21 + sum over t < count(x) of pixels[image, row, first(x) + t] * weight(x, t)) >> 22)   for R, G, B
//
// pixels and y: one u32 a pixel, bytes R, G, B, A from the lowest up; A is dropped. table: one row for each x: first input pixel,
// count, then `taps` weights in units of 2^-22, which add up to 2^22 within rounding. 255 * 2^22 + 2^21 fits in 31 bits.
// Grid: ceil(rows * width / 64) workgroups folded into x and y; z = images.

struct Params {
  rows: u32,
  width: u32, // of y
  taps: u32,
  pixels_offset: u32,
  pixels_pitch: u32, // from one row to the next
  pixels_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<uniform> params: Params;

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
  let entry = x * (params.taps + 2u);
  let source = params.pixels_offset + group.z * params.pixels_batch + row * params.pixels_pitch + table[entry];
  let count = table[entry + 1u];
  var sum = vec3u(1u << (PRECISION - 1u));
  for (var t = 0u; t < count; t++) {
    sum += unpack(pixels[source + t]) * table[entry + 2u + t];
  }
  let c = min(sum >> vec3u(PRECISION), vec3u(255u));
  y[params.y_offset + group.z * params.y_batch + row * params.y_pitch + x] = c.x | (c.y << 8u) | (c.z << 16u);
}
