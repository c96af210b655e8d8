// Gradient of resizing (resize/nearest.wgsl, resize/bilinear.wgsl), gathered by the pixels of the input:
//
//   dx[iy, ix, c] = sum over output pixels of share(oy, iy) * share(ox, ix) * g[oy, ox, c]
//
// share is how much of the input line the output line takes: 1 or 0 where it takes the nearest (MODE 0), and the two neighbours'
// 1 - f and f where it interpolates (MODE 1 half pixels, MODE 2 align_corners), with the forward's own rounding. An output line
// whose place is more than a line away takes none, so only those around (place of the input line) are tried.
//
// Value is vec4f, or f32 where channels are no multiple of 4; columns, offsets and strides are in Value. One Value a thread,
// channels fastest. Grid: x = ceil(in_height * in_width * columns / 64) folded into x and y, z = images.

alias Value = vec4f;

const MODE: u32 = 0u; // specialise

struct Params {
  in_height: u32,
  in_width: u32,
  out_height: u32,
  out_width: u32,
  ratio_h: f32,
  ratio_w: f32,
  columns: u32,
  g_offset: u32,
  g_pitch: u32, // from one pixel to the next
  g_batch: u32, // from one image to the next
  dx_offset: u32,
  dx_pitch: u32,
  dx_batch: u32,
}

@group(0) @binding(0) var<storage, read> g: array<Value>;
@group(0) @binding(1) var<storage, read_write> dx: array<Value>;
@group(0) @binding(2) var<uniform> params: Params;

fn share(to: u32, line: u32, ratio: f32, lines: u32) -> f32 {
  if (MODE == 0u) { return select(0.0, 1.0, min(u32(f32(to) * ratio), lines - 1u) == line); }
  var place = f32(to) * ratio;
  if (MODE == 1u) { place = max((f32(to) + 0.5) * ratio - 0.5, 0.0); }
  let low = min(u32(place), lines - 1u);
  let f = place - f32(low);
  return select(0.0, 1.0 - f, low == line) + select(0.0, f, min(low + 1u, lines - 1u) == line);
}

// Output lines that may take from an input line: first, and behind the last.
fn takers(line: u32, ratio: f32, lines: u32, out_lines: u32) -> vec2u {
  if (ratio == 0.0) { return vec2u(0u, out_lines); }
  let half_pixel = select(0.0, 0.5, MODE == 1u);
  let low = (f32(line) - 1.0 + half_pixel) / ratio - half_pixel - 1.0;
  let high = (f32(line) + 1.0 + half_pixel) / ratio - half_pixel + 2.0;
  // What lies beyond the outermost lines takes from them.
  let first = select(u32(max(low, 0.0)), 0u, line == 0u);
  let end = select(min(u32(max(high, 0.0)), out_lines), out_lines, line + 1u == lines);
  return vec2u(first, end);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let pixel = index / params.columns;
  if (pixel >= params.in_height * params.in_width) { return; }
  let column = index % params.columns;
  let iy = pixel / params.in_width;
  let ix = pixel % params.in_width;
  let rows = takers(iy, params.ratio_h, params.in_height, params.out_height);
  let columns = takers(ix, params.ratio_w, params.in_width, params.out_width);
  let base = params.g_offset + group.z * params.g_batch + column;
  var sum = Value();
  for (var oy = rows.x; oy < rows.y; oy++) {
    let of_row = share(oy, iy, params.ratio_h, params.in_height);
    if (of_row == 0.0) { continue; }
    for (var ox = columns.x; ox < columns.y; ox++) {
      let part = of_row * share(ox, ix, params.ratio_w, params.in_width);
      if (part != 0.0) { sum += part * g[base + (oy * params.out_width + ox) * params.g_pitch]; }
    }
  }
  dx[params.dx_offset + group.z * params.dx_batch + pixel * params.dx_pitch + column] = sum;
}
