// Gradient of the spatial attention's 3x3 convolution (rfcbam/spatial.wgsl, padding 1) with respect to its statistics:
//
//   dx[image, row, column, s] = sum over ky, kx of w[(ky * 3 + kx) * 2 + s] * du[image, row + 1 - ky, column + 1 - kx]
//
// du, of what goes into the sigmoid, is dense. One pixel of the map a thread. Grid: ceil(rows * columns / 64) workgroups folded
// into x and y, z = images.

struct Params {
  height: u32, // of the map
  width: u32,
  dx_offset: u32,
  dx_pitch: u32, // from one pixel to the next
  dx_batch: u32, // from one image to the next
}

@group(0) @binding(0) var<storage, read> du: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let pixels = params.height * params.width;
  if (index >= pixels) { return; }
  let row = index / params.width;
  let column = index - row * params.width;
  var sum = vec2f();
  for (var ky = 0u; ky < 3u; ky++) {
    for (var kx = 0u; kx < 3u; kx++) {
      // A negative position wraps to a huge one.
      let at = vec2u(row + 1u - ky, column + 1u - kx);
      let inside = (at.x < params.height) & (at.y < params.width);
      let v = select(0.0, du[group.z * pixels + select(0u, at.x * params.width + at.y, inside)], inside);
      let tap = (ky * 3u + kx) * 2u;
      sum += v * vec2f(w[tap], w[tap + 1u]);
    }
  }
  let sink = params.dx_offset + group.z * params.dx_batch + index * params.dx_pitch;
  dx[sink] = sum.x;
  dx[sink + 1u] = sum.y;
}
