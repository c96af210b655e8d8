// Bilinear resize: y[image, oy, ox, c] = sum over the four neighbours of (sy, sx) of weight * x, where
//
//   sy = max((oy + 0.5) * ratio_h - 0.5, 0)   or, with CORNERS = 1 (align_corners), oy * ratio_h;   sx alike.
//
// The lower neighbour of the last row or column is itself. Value is vec4f, or f32 where channels are no multiple of 4;
// columns, offsets and strides are in Value. One Value a thread, channels fastest.
// Grid: x = ceil(out_rows * columns / 64) folded into x and y, z = images.

alias Value = vec4f;

const CORNERS: u32 = 0u; // specialise

struct Params {
  in_height: u32,
  in_width: u32,
  out_rows: u32, // output height * output width
  out_width: u32,
  ratio_h: f32,
  ratio_w: f32,
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

fn source(at: u32, ratio: f32) -> f32 {
  if (CORNERS == 1u) { return f32(at) * ratio; }
  return max((f32(at) + 0.5) * ratio - 0.5, 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.out_rows) { return; }
  let column = index % params.columns;
  let sy = source(row / params.out_width, params.ratio_h);
  let sx = source(row % params.out_width, params.ratio_w);
  let y0 = min(u32(sy), params.in_height - 1u);
  let x0 = min(u32(sx), params.in_width - 1u);
  let y1 = min(y0 + 1u, params.in_height - 1u);
  let x1 = min(x0 + 1u, params.in_width - 1u);
  let fy = sy - f32(y0);
  let fx = sx - f32(x0);
  let base = params.x_offset + group.z * params.x_batch + column;
  let top = x[base + (y0 * params.in_width + x0) * params.x_pitch] * (1.0 - fx) + x[base + (y0 * params.in_width + x1) * params.x_pitch] * fx;
  let bottom = x[base + (y1 * params.in_width + x0) * params.x_pitch] * (1.0 - fx) + x[base + (y1 * params.in_width + x1) * params.x_pitch] * fx;
  y[params.y_offset + group.z * params.y_batch + row * params.y_pitch + column] = top * (1.0 - fy) + bottom * fy;
}
