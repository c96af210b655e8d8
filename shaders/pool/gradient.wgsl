// Gradient of pooling (pool/pool.wgsl), gathered by the pixels of the input:
//
//   average: dx[p, c] = sum over windows that hold p of g[window, c] / divisor of the window
//   maximum: dx[p, c] = sum over windows that hold p of g[window, c] where p is the window's first largest cell, row by row
//
// p is the first largest if x[p] is the maximum, y[window], and no cell of the window before p reaches it: torch's rule for ties.
// Value is vec4f, or f32 where channels are no multiple of 4; columns, offsets and strides are in Value. One Value a thread,
// channels fastest; windows in row-major order. Grid: x = ceil(in_height * in_width * columns / 64) folded into x and y, z = images.

alias Value = vec4f;

const AVERAGE: u32 = 0u; // specialise
const COUNT_PAD: u32 = 0u; // specialise

struct Params {
  in_height: u32,
  in_width: u32,
  out_height: u32,
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
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  dx_offset: u32,
  dx_pitch: u32,
  dx_batch: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
@group(0) @binding(1) var<storage, read> y: array<Value>;
@group(0) @binding(2) var<storage, read> g: array<Value>;
@group(0) @binding(3) var<storage, read_write> dx: array<Value>;
@group(0) @binding(4) var<uniform> params: Params;

// First window that holds the position (of the padded image) along an axis.
fn first_window(at: u32, kernel: u32, stride: u32) -> u32 {
  return (max(at + 1u, kernel) - kernel + stride - 1u) / stride;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  let pixel = index / params.columns;
  if (pixel >= params.in_height * params.in_width) { return; }
  let column = index % params.columns;
  let py = pixel / params.in_width + params.pad_h; // in the padded image
  let px = pixel % params.in_width + params.pad_w;
  let base = params.x_offset + group.z * params.x_batch + column;
  let own = x[base + pixel * params.x_pitch];
  var sum = Value();
  for (var oy = first_window(py, params.kernel_h, params.stride_h); oy < min(py / params.stride_h + 1u, params.out_height); oy++) {
    let top = oy * params.stride_h;
    for (var ox = first_window(px, params.kernel_w, params.stride_w); ox < min(px / params.stride_w + 1u, params.out_width); ox++) {
      let left = ox * params.stride_w;
      let window = oy * params.out_width + ox;
      let v = g[params.g_offset + group.z * params.g_batch + window * params.g_pitch + column];
      let y0 = max(top, params.pad_h);
      let x0 = max(left, params.pad_w);
      if (AVERAGE == 1u) {
        let y1 = min(top + params.kernel_h, params.in_height + params.pad_h);
        let x1 = min(left + params.kernel_w, params.in_width + params.pad_w);
        var cells = (y1 - y0) * (x1 - x0);
        if (COUNT_PAD == 1u) {
          cells = (min(top + params.kernel_h, params.in_height + 2u * params.pad_h) - top)
            * (min(left + params.kernel_w, params.in_width + 2u * params.pad_w) - left);
        }
        sum += v / f32(cells);
      } else {
        let highest = y[params.y_offset + group.z * params.y_batch + window * params.y_pitch + column];
        if (!any(own == highest)) { continue; }
        var passed = select(Value(), v, own == highest);
        let x1 = min(left + params.kernel_w, params.in_width + params.pad_w);
        for (var cy = y0; cy <= py; cy++) {
          // In p's own row only what stands before it.
          let end = select(x1, px, cy == py);
          for (var cx = x0; cx < end; cx++) {
            let other = x[base + ((cy - params.pad_h) * params.in_width + cx - params.pad_w) * params.x_pitch];
            passed = select(passed, Value(), other == highest);
          }
        }
        sum += passed;
      }
    }
  }
  dx[params.dx_offset + group.z * params.dx_batch + pixel * params.dx_pitch + column] = sum;
}
