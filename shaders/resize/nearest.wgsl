// Nearest-neighbour resize, torch's 'nearest': y[image, oy, ox, c] = x[image, min(floor(oy * ratio_h), in_height - 1), min(floor(ox * ratio_w), in_width - 1), c].
//
// The ratios are float32: in / out for a given size, 1 / scale for a given scale, and the product is rounded to float32 before
// the floor, as torch does it; a different rounding would pick a neighbour where oy * ratio is whole.
// Value is vec4f, or f32 where channels are no multiple of 4; columns, offsets and strides are in Value.
// One Value a thread, channels fastest. Grid: x = ceil(out_rows * columns / 64) folded into x and y, z = images.

alias Value = vec4f;

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

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let row = index / params.columns;
  if (row >= params.out_rows) { return; }
  let column = index % params.columns;
  let iy = min(u32(f32(row / params.out_width) * params.ratio_h), params.in_height - 1u);
  let ix = min(u32(f32(row % params.out_width) * params.ratio_w), params.in_width - 1u);
  y[params.y_offset + group.z * params.y_batch + row * params.y_pitch + column] =
    x[params.x_offset + group.z * params.x_batch + (iy * params.in_width + ix) * params.x_pitch + column];
}
