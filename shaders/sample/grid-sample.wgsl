// Bilinear sampling at given places, torch's grid_sample with zeros as padding and align_corners = false:
//
//   y[image, r, c] = sum over the four pixels around (sy, sx) of weight * x[image, pixel, c],
//   sx = ((grid[image, r, 0] + 1) * in_width - 1) / 2,   sy = ((grid[image, r, 1] + 1) * in_height - 1) / 2
//
// Pixels outside the image count as zero: their index is clamped and their weight set to zero. Places further out than one
// pixel are all the same, so they are clamped before they become integers.
// Value is vec4f, or f32 where channels are no multiple of 4; x's and y's columns, offsets and strides are in Value, grid's in
// scalars. One Value a thread, channels fastest. Grid: x = ceil(rows * columns / 64) folded into x and y, z = images.

alias Value = vec4f;

struct Params {
  in_height: u32,
  in_width: u32,
  rows: u32, // places of an image
  columns: u32,
  x_offset: u32,
  x_pitch: u32, // from one pixel to the next
  x_batch: u32, // from one image to the next
  grid_offset: u32,
  grid_pitch: u32,
  grid_batch: u32,
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> grid: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;
@group(0) @binding(3) var<uniform> params: Params;

fn pixel(base: u32, iy: i32, ix: i32, weight: f32) -> Value {
  let last = vec2i(vec2u(params.in_height, params.in_width)) - 1;
  let at = clamp(vec2i(iy, ix), vec2i(0), last);
  let inside = (at.x == iy) & (at.y == ix);
  return x[base + (u32(at.x) * params.in_width + u32(at.y)) * params.x_pitch] * select(0.0, weight, inside);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.rows) { return; }
  let column = index % params.columns;
  let place = params.grid_offset + group.z * params.grid_batch + row * params.grid_pitch;
  let size = vec2f(vec2u(params.in_width, params.in_height));
  let s = clamp(((vec2f(grid[place], grid[place + 1u]) + 1.0) * size - 1.0) * 0.5, vec2f(-2.0), size + 1.0);
  let low = floor(s);
  let f = s - low;
  let x0 = i32(low.x);
  let y0 = i32(low.y);
  let base = params.x_offset + group.z * params.x_batch + column;
  let top = pixel(base, y0, x0, (1.0 - f.x) * (1.0 - f.y)) + pixel(base, y0, x0 + 1, f.x * (1.0 - f.y));
  let bottom = pixel(base, y0 + 1, x0, (1.0 - f.x) * f.y) + pixel(base, y0 + 1, x0 + 1, f.x * f.y);
  y[params.y_offset + group.z * params.y_batch + row * params.y_pitch + column] = top + bottom;
}
