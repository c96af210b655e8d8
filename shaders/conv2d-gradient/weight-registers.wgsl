// Gradient of a dense convolution or linear layer with respect to its weights, as a matrix product over pixels.
//
//   dW[ky * kernel_w + kx, c, k] = sum over images and output pixels (oy, ox) of X[iy, ix, c] * g[oy, ox, k]
//
// where iy = oy * stride_h + ky * dilation_h - pad_h and ix likewise, and g is the gradient of the convolution's output. Pixels
// outside the image are never visited: for each tap the output columns that meet the image are an interval.
//
// The first of two stages: the sum is split, each part of `chunk` consecutive output pixels (counted over all images) has its own
// copy of dW, and reduce/parts.wgsl adds the copies in order. So many threads work on few weights, and the bits are the same
// every time. Inside a part, sums of at most 512 pixels are added to the total, so that float32 error stays that of a blocked sum.
//
// x, g: NHWC; y: dW as [kernel_h * kernel_w, c, k], or one such copy a part. Both channel counts are multiples of 4:
// n4 = input channels / 4, k4 = output channels / 4. Offsets, pitches and counts are in vec4f.
//
// This variant: no barriers, no workgroup memory, no subgroups: it runs everywhere. Each thread holds 8 input x 8 output
// channels of one tap: four vec4f loads for 64 multiply-adds. Its input channels are two neighbouring vec4f, its output
// channels two that are COLUMN_LANES apart: neighbouring threads read neighbouring vec4f of g and the same of x. Threads are counted
// over COLUMN_LANES, input channels, taps, blocks of 2 * COLUMN_LANES columns and parts, in this order, so that few channels leave none
// idle.
//
// With BIAS = 1 the threads of the first input channels add up g itself as well, on the way through `bias_tap`: each part's
// copy has room for the bias's gradient.
//
// Grid: count = ceil(ceil(k4 / (2 * COLUMN_LANES)) * COLUMN_LANES * ceil(n4 / 2) * taps * parts / 64) workgroups, x = min(count, 65535),
// y = ceil(count / x). COLUMN_LANES: 1 to 64.

alias Value = vec4f;

override COLUMN_LANES: u32 = 8u;
override BIAS: u32 = 0u;

struct Params {
  pixels: u32, // of all images of g
  chunk: u32, // pixels of a part
  parts: u32,
  in_height: u32, // of x
  in_width: u32,
  out_height: u32, // of g
  out_width: u32,
  kernel_h: u32,
  kernel_w: u32,
  stride_h: u32,
  stride_w: u32,
  pad_h: u32,
  pad_w: u32,
  dilation_h: u32,
  dilation_w: u32,
  k4: u32, // output channels / 4
  n4: u32, // input channels / 4
  x_offset: u32, // offsets and steps in vec4f
  x_pitch: u32, // from one pixel to the next
  x_batch: u32, // from one image to the next
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  y_offset: u32, // y is dW or its copies
  y_pitch: u32, // from one input channel to the next
  y_batch: u32, // from one tap to the next
  y_part: u32, // from one part's copy to the next
  bias_offset: u32, // of the first copy of the bias's gradient
  bias_tap: u32, // one that meets the image at every output pixel
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

const BLOCK = 512u; // pixels in a partial sum

// Output columns for which a tap `at` pixels right of the window's first lies inside the image: [x, y).
fn columns_inside(at: u32) -> vec2u {
  let low = (max(params.pad_w, at) - at + params.stride_w - 1u) / params.stride_w;
  let last = params.in_width + params.pad_w; // the first position, from the padding's edge, that is outside
  let high = (max(last, at) - at + params.stride_w - 1u) / params.stride_w;
  return vec2u(low, min(high, params.out_width));
}

// A run of output pixels in one line that meet the image under a tap: where x and g begin, and how many there are.
struct Run {
  x: u32,
  g: u32,
  length: u32,
}

// The run from pixel `p` on, which ends with the line or before pixel `end`; inside: columns_inside of the tap.
fn run_from(p: u32, end: u32, tap: vec2u, inside: vec2u) -> Run {
  let line = p / params.out_width; // over all images
  let start = line * params.out_width;
  let image = line / params.out_height;
  let oy = line - image * params.out_height;
  let iy = oy * params.stride_h + tap.x - params.pad_h; // above the image wraps to a huge one
  let first = max(p - start, inside.x);
  let last = min(end - start, inside.y);
  let length = select(0u, max(last, first) - first, iy < params.in_height);
  let ix = first * params.stride_w + tap.y - params.pad_w;
  return Run(
    params.x_offset + image * params.x_batch + (iy * params.in_width + ix) * params.x_pitch,
    params.g_offset + image * params.g_batch + (oy * params.out_width + first) * params.g_pitch,
    length,
  );
}

// Four input channels of one vec4f of output channels.
fn store(at: u32, c: u32, v0: Value, v1: Value, v2: Value, v3: Value) {
  if (c < params.n4) {
    let first = at + 4u * c * params.y_pitch;
    y[first] = v0;
    y[first + params.y_pitch] = v1;
    y[first + 2u * params.y_pitch] = v2;
    y[first + 3u * params.y_pitch] = v3;
  }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let thread = (group.y * workgroups.x + group.x) * 64u + local;
  let lane = thread % COLUMN_LANES;
  let high = (params.n4 + 1u) / 2u; // threads for a tap's input channels
  let taps = params.kernel_h * params.kernel_w;
  let tap_row = thread / COLUMN_LANES % (high * taps);
  let across = (params.k4 + 2u * COLUMN_LANES - 1u) / (2u * COLUMN_LANES);
  let block = thread / COLUMN_LANES / (high * taps); // of output channels, over all parts
  let part = block / across;
  if (part >= params.parts) {
    return;
  }
  let kernel_tap = tap_row / high;
  let row = tap_row % high * 2u; // vec4f of input channels: this one and the next
  let column = block % across * 2u * COLUMN_LANES + lane; // of output channels: this one and COLUMN_LANES further
  let c0 = min(row, params.n4 - 1u); // reads stay inside; only real weights are stored
  let c1 = min(row + 1u, params.n4 - 1u);
  let k0 = min(column, params.k4 - 1u);
  let k1 = min(column + COLUMN_LANES, params.k4 - 1u);
  let tap = vec2u(kernel_tap / params.kernel_w * params.dilation_h, kernel_tap % params.kernel_w * params.dilation_w);
  let inside = columns_inside(tap.y);
  let part_end = min((part + 1u) * params.chunk, params.pixels);
  let x_step = params.stride_w * params.x_pitch;
  let with_bias = (BIAS == 1u) & (row == 0u) & (kernel_tap == params.bias_tap);
  var bias_total_0 = Value(); var bias_total_1 = Value();
  var t0_0 = Value(); var t0_1 = Value();
  var t1_0 = Value(); var t1_1 = Value();
  var t2_0 = Value(); var t2_1 = Value();
  var t3_0 = Value(); var t3_1 = Value();
  var t4_0 = Value(); var t4_1 = Value();
  var t5_0 = Value(); var t5_1 = Value();
  var t6_0 = Value(); var t6_1 = Value();
  var t7_0 = Value(); var t7_1 = Value();
  for (var first = part * params.chunk; first < part_end; first += BLOCK) {
    let end = min(first + BLOCK, part_end);
    var bias_sum_0 = Value(); var bias_sum_1 = Value();
    var s0_0 = Value(); var s0_1 = Value();
    var s1_0 = Value(); var s1_1 = Value();
    var s2_0 = Value(); var s2_1 = Value();
    var s3_0 = Value(); var s3_1 = Value();
    var s4_0 = Value(); var s4_1 = Value();
    var s5_0 = Value(); var s5_1 = Value();
    var s6_0 = Value(); var s6_1 = Value();
    var s7_0 = Value(); var s7_1 = Value();
    var p = first;
    while (p < end) {
      let line_end = min((p / params.out_width + 1u) * params.out_width, end);
      let pixels = run_from(p, line_end, tap, inside);
      p = line_end;
      var x_at = pixels.x;
      var g_at = pixels.g;
      for (var i = 0u; i < pixels.length; i++) {
        let x0 = x[x_at + c0];
        let x1 = x[x_at + c1];
        let g0 = g[g_at + k0];
        let g1 = g[g_at + k1];
        x_at += x_step;
        g_at += params.g_pitch;
        if (with_bias) { bias_sum_0 += g0; bias_sum_1 += g1; }
        s0_0 = fma(Value(x0.x), g0, s0_0); s0_1 = fma(Value(x0.x), g1, s0_1);
        s1_0 = fma(Value(x0.y), g0, s1_0); s1_1 = fma(Value(x0.y), g1, s1_1);
        s2_0 = fma(Value(x0.z), g0, s2_0); s2_1 = fma(Value(x0.z), g1, s2_1);
        s3_0 = fma(Value(x0.w), g0, s3_0); s3_1 = fma(Value(x0.w), g1, s3_1);
        s4_0 = fma(Value(x1.x), g0, s4_0); s4_1 = fma(Value(x1.x), g1, s4_1);
        s5_0 = fma(Value(x1.y), g0, s5_0); s5_1 = fma(Value(x1.y), g1, s5_1);
        s6_0 = fma(Value(x1.z), g0, s6_0); s6_1 = fma(Value(x1.z), g1, s6_1);
        s7_0 = fma(Value(x1.w), g0, s7_0); s7_1 = fma(Value(x1.w), g1, s7_1);
      }
    }
    bias_total_0 += bias_sum_0; bias_total_1 += bias_sum_1;
    t0_0 += s0_0; t0_1 += s0_1;
    t1_0 += s1_0; t1_1 += s1_1;
    t2_0 += s2_0; t2_1 += s2_1;
    t3_0 += s3_0; t3_1 += s3_1;
    t4_0 += s4_0; t4_1 += s4_1;
    t5_0 += s5_0; t5_1 += s5_1;
    t6_0 += s6_0; t6_1 += s6_1;
    t7_0 += s7_0; t7_1 += s7_1;
  }
  let at = params.y_offset + part * params.y_part + kernel_tap * params.y_batch + column;
  if (column < params.k4) {
    store(at, row, t0_0, t1_0, t2_0, t3_0);
    store(at, row + 1u, t4_0, t5_0, t6_0, t7_0);
    if (with_bias) { y[params.bias_offset + part * params.y_part + column] = bias_total_0; }
  }
  if (column + COLUMN_LANES < params.k4) {
    store(at + COLUMN_LANES, row, t0_1, t1_1, t2_1, t3_1);
    store(at + COLUMN_LANES, row + 1u, t4_1, t5_1, t6_1, t7_1);
    if (with_bias) { y[params.bias_offset + part * params.y_part + column + COLUMN_LANES] = bias_total_1; }
  }
}
