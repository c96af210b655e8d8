// Gradient of copy/unfold.wgsl: dx[image, iy, ix, c] = sum over taps (ky, kx) of g[image, oy * out_width + ox, (ky * kernel_w + kx) * channels + c] with
// iy = oy * stride_h - pad_h + ky * dilation_h, and ix alike, in the order of the taps.
//
// One scalar a thread, channels fastest; offsets and strides are in scalars.
// Grid: x = ceil(in_height * in_width * channels / 64) folded into x and y, z = images.

struct Params {
  in_height: u32,
  in_width: u32,
  channels: u32,
  out_height: u32,
  out_width: u32,
  kernel_h: u32,
  kernel_w: u32,
  stride_h: u32,
  stride_w: u32,
  pad_h: u32,
  pad_w: u32,
  dilation_h: u32,
  dilation_w: u32,
  g_offset: u32,
  g_pitch: u32, // from one window to the next
  g_batch: u32, // from one image to the next
  dx_offset: u32,
  dx_pitch: u32,
  dx_batch: u32,
}

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let pixel = index / params.channels;
  if (pixel >= params.in_height * params.in_width) { return; }
  let channel = index % params.channels;
  let py = pixel / params.in_width + params.pad_h;
  let px = pixel % params.in_width + params.pad_w;
  var sum = 0.0;
  for (var ky = 0u; ky < params.kernel_h; ky++) {
    for (var kx = 0u; kx < params.kernel_w; kx++) {
      // Before the first window it wraps to a huge one.
      let at = vec2u(py - ky * params.dilation_h, px - kx * params.dilation_w);
      let stride = vec2u(params.stride_h, params.stride_w);
      let to = at / stride;
      let hit = (to * stride == at) & (to < vec2u(params.out_height, params.out_width));
      if (hit.x & hit.y) {
        sum += g[params.g_offset + group.z * params.g_batch + (to.x * params.out_width + to.y) * params.g_pitch
          + (ky * params.kernel_w + kx) * params.channels + channel];
      }
    }
  }
  dx[params.dx_offset + group.z * params.dx_batch + pixel * params.dx_pitch + channel] = sum;
}
