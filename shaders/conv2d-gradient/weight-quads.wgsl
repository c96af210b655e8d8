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
// This variant: the one for software adapters with subgroups. Each thread holds 16 input x 4 output channels of one tap. The four
// lanes of a quad share the 16 input channels: a lane loads one vec4f of x and gets the other three by quad swaps, lane
// q's accumulators 4 j .. 4 j + 3 belong to the input channels that lane q ^ j loads. Four pixels are taken at once, so that an
// update is one line: dW's vec4f += block of g * four pixels of one channel; 8 vec4f loads for 256 multiply-adds. Past the end of a
// run the last pixel is read again and g counts as zero.
//
// With BIAS = 1 the workgroups of the first input channels add up g itself as well, on the way through `bias_tap`: each part's
// copy has room for the bias's gradient.
//
// Grid: x = ceil(n4 / 4 / (64 / COLUMN_LANES)), y = ceil(k4 / COLUMN_LANES), z = taps * parts.
// COLUMN_LANES: 4, 8, 16, 32 or 64.

enable subgroups;

alias Value = vec4f;

override COLUMN_LANES: u32 = 16u;
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
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let kernel_tap = group.z / params.parts;
  let part = group.z % params.parts;
  let lane = local % 4u; // in the quad
  let tile = group.x * (64u / COLUMN_LANES) + local / COLUMN_LANES; // of 16 input channels
  let column = group.y * COLUMN_LANES + local % COLUMN_LANES;
  let c = min(tile * 4u + lane, params.n4 - 1u); // reads stay inside; only real weights are stored
  let k = min(column, params.k4 - 1u);
  let tap = vec2u(kernel_tap / params.kernel_w * params.dilation_h, kernel_tap % params.kernel_w * params.dilation_w);
  let inside = columns_inside(tap.y);
  let part_end = min((part + 1u) * params.chunk, params.pixels);
  let x_step = params.stride_w * params.x_pitch;
  let with_bias = (BIAS == 1u) & (tile == 0u) & (kernel_tap == params.bias_tap);
  var bias_total = Value();
  var t0 = Value();
  var t1 = Value();
  var t2 = Value();
  var t3 = Value();
  var t4 = Value();
  var t5 = Value();
  var t6 = Value();
  var t7 = Value();
  var t8 = Value();
  var t9 = Value();
  var t10 = Value();
  var t11 = Value();
  var t12 = Value();
  var t13 = Value();
  var t14 = Value();
  var t15 = Value();
  for (var first = part * params.chunk; first < part_end; first += BLOCK) {
    let end = min(first + BLOCK, part_end);
    var bias_sum = Value();
    var s0 = Value();
    var s1 = Value();
    var s2 = Value();
    var s3 = Value();
    var s4 = Value();
    var s5 = Value();
    var s6 = Value();
    var s7 = Value();
    var s8 = Value();
    var s9 = Value();
    var s10 = Value();
    var s11 = Value();
    var s12 = Value();
    var s13 = Value();
    var s14 = Value();
    var s15 = Value();
    var p = first;
    while (p < end) {
      let line_end = min((p / params.out_width + 1u) * params.out_width, end);
      let pixels = run_from(p, line_end, tap, inside);
      p = line_end;
      let x_at = pixels.x + c;
      let g_at = pixels.g + k;
      let last = max(pixels.length, 1u) - 1u;
      for (var i = 0u; i < pixels.length; i += 4u) {
        let p1 = min(i + 1u, last);
        let p2 = min(i + 2u, last);
        let p3 = min(i + 3u, last);
        let x0 = x[x_at + i * x_step];
        let x1 = x[x_at + p1 * x_step];
        let x2 = x[x_at + p2 * x_step];
        let x3 = x[x_at + p3 * x_step];
        let g0 = mat4x4f(
          g[g_at + i * params.g_pitch],
          select(Value(), g[g_at + p1 * params.g_pitch], i + 1u <= last),
          select(Value(), g[g_at + p2 * params.g_pitch], i + 2u <= last),
          select(Value(), g[g_at + p3 * params.g_pitch], i + 3u <= last),
        );
        let v0 = Value(x0.x, x1.x, x2.x, x3.x);
        let v1 = Value(x0.y, x1.y, x2.y, x3.y);
        let v2 = Value(x0.z, x1.z, x2.z, x3.z);
        let v3 = Value(x0.w, x1.w, x2.w, x3.w);
        if (with_bias) { bias_sum += g0 * Value(1.0); }
        s0 += g0 * v0;
        s1 += g0 * v1;
        s2 += g0 * v2;
        s3 += g0 * v3;
        s4 += g0 * quadSwapX(v0);
        s5 += g0 * quadSwapX(v1);
        s6 += g0 * quadSwapX(v2);
        s7 += g0 * quadSwapX(v3);
        s8 += g0 * quadSwapY(v0);
        s9 += g0 * quadSwapY(v1);
        s10 += g0 * quadSwapY(v2);
        s11 += g0 * quadSwapY(v3);
        s12 += g0 * quadSwapDiagonal(v0);
        s13 += g0 * quadSwapDiagonal(v1);
        s14 += g0 * quadSwapDiagonal(v2);
        s15 += g0 * quadSwapDiagonal(v3);
      }
    }
    bias_total += bias_sum;
    t0 += s0;
    t1 += s1;
    t2 += s2;
    t3 += s3;
    t4 += s4;
    t5 += s5;
    t6 += s6;
    t7 += s7;
    t8 += s8;
    t9 += s9;
    t10 += s10;
    t11 += s11;
    t12 += s12;
    t13 += s13;
    t14 += s14;
    t15 += s15;
  }
  if (column < params.k4) {
    let at = params.y_offset + part * params.y_part + kernel_tap * params.y_batch + column;
    store(at, tile * 4u + (0u ^ lane), t0, t1, t2, t3);
    store(at, tile * 4u + (1u ^ lane), t4, t5, t6, t7);
    store(at, tile * 4u + (2u ^ lane), t8, t9, t10, t11);
    store(at, tile * 4u + (3u ^ lane), t12, t13, t14, t15);
    if (with_bias) { y[params.bias_offset + part * params.y_part + column] = bias_total; }
  }
}
