// Pooling: y[image, oy * out_width + ox, c] = largest, or sum / divisor, of x[image, iy * in_width + ix, c] over the window's cells inside the image,
//   iy = oy * stride_h - pad_h + ky, ix = ox * stride_w - pad_w + kx, 0 <= ky < kernel_h, 0 <= kx < kernel_w.
//
// Cells outside the image never win a maximum and add nothing to a sum. The divisor is torch's: with COUNT_PAD = 1 the
// window's cells inside the padded image (in - pad .. in + pad), so that what ceil_mode adds behind the padding does not
// count; else only the cells inside the image. Value is vec4f, or f32 where channels are no multiple of 4; channels, offsets
// and strides are in Value. One Value a thread, channels fastest. Grid: x = ceil(out_rows * columns / 64) folded into x and y, z = images.

alias Value = vec4f;

const AVERAGE: u32 = 0u; // specialise
const COUNT_PAD: u32 = 0u; // specialise

struct Params {
  in_height: u32,
  in_width: u32,
  out_rows: u32, // output height * output width
  out_width: u32,
  kernel_h: u32,
  kernel_w: u32,
  stride_h: u32,
  stride_w: u32,
  pad_h: u32,
  pad_w: u32,
  columns: u32,
  x_offset: u32,
  x_pitch: u32, // from one pixel to the next
  x_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read_write> y: array<Value>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.out_rows) { return; }
  let column = index % params.columns;
  let oy = row / params.out_width;
  let ox = row % params.out_width;
  // The window in coordinates of the padded image, and its cells inside the image.
  let top = oy * params.stride_h;
  let left = ox * params.stride_w;
  let y0 = max(top, params.pad_h) - params.pad_h;
  let x0 = max(left, params.pad_w) - params.pad_w;
  let y1 = min(max(top + params.kernel_h, params.pad_h) - params.pad_h, params.in_height);
  let x1 = min(max(left + params.kernel_w, params.pad_w) - params.pad_w, params.in_width);
  let base = params.x_offset + group.z * params.x_batch + column;
  // A maximum starts at a cell of the window: the first one inside the image.
  var v = Value();
  if (AVERAGE == 0u) { v = x[base + (min(y0, params.in_height - 1u) * params.in_width + min(x0, params.in_width - 1u)) * params.x_pitch]; }
  for (var iy = y0; iy < y1; iy++) {
    var at = base + (iy * params.in_width + x0) * params.x_pitch;
    for (var ix = x0; ix < x1; ix++) {
      if (AVERAGE == 1u) { v += x[at]; } else { v = max(v, x[at]); }
      at += params.x_pitch;
    }
  }
  if (AVERAGE == 1u) {
    var cells = (y1 - y0) * (x1 - x0);
    if (COUNT_PAD == 1u) {
      cells = (min(top + params.kernel_h, params.in_height + 2u * params.pad_h) - top)
        * (min(left + params.kernel_w, params.in_width + 2u * params.pad_w) - left);
    }
    v /= f32(cells);
  }
  y[params.y_offset + group.z * params.y_batch + row * params.y_pitch + column] = v;
}
