// The windows of a map as rows: y[image, oy * out_width + ox, (ky * kernel_w + kx) * channels + c] = x[image, iy, ix, c], or 0 outside the image, with
// iy = oy * stride_h - pad_h + ky * dilation_h and ix alike.
//
// One scalar a thread, channels fastest; offsets and strides are in scalars.
// Grid: x = ceil(out_rows * kernel_h * kernel_w * channels / 64) folded into x and y, z = images.

struct Params {
  in_height: u32,
  in_width: u32,
  channels: u32,
  out_rows: u32, // output height * output width
  out_width: u32,
  kernel_h: u32,
  kernel_w: u32,
  stride_h: u32,
  stride_w: u32,
  pad_h: u32,
  pad_w: u32,
  dilation_h: u32,
  dilation_w: u32,
  x_offset: u32,
  x_pitch: u32, // from one pixel to the next
  x_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let columns = params.kernel_h * params.kernel_w * params.channels;
  let row = index / columns;
  if (row >= params.out_rows) { return; }
  let column = index % columns;
  let tap = column / params.channels;
  // A negative position wraps to a huge one.
  let iy = row / params.out_width * params.stride_h + tap / params.kernel_w * params.dilation_h - params.pad_h;
  let ix = row % params.out_width * params.stride_w + tap % params.kernel_w * params.dilation_w - params.pad_w;
  let inside = (iy < params.in_height) & (ix < params.in_width);
  let pixel = select(0u, iy * params.in_width + ix, inside);
  let v = x[params.x_offset + group.z * params.x_batch + pixel * params.x_pitch + column % params.channels];
  y[params.y_offset + group.z * params.y_batch + row * params.y_pitch + column] = select(0.0, v, inside);
}
