// Gradient of a convolution with respect to its weights: any channel counts and groups.
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
// With groups, output channel k meets only the input channels of its group, floor(k / (K / groups)), and c counts inside that.
// x, g: NHWC; y: dW as [kernel_h * kernel_w, n, k], or one such copy a part. Value is vec4f where a group's output channels are a
// multiple of 4, else f32; x is read in scalars. The reference variant, the fallback for groups and odd channels, and the
// kernel of a network's first layer, with its three input channels. Each thread holds 4 input channels x 1 Value.
//
// With BIAS = 1 the workgroups of the first input channels add up g itself as well, on the way through `bias_tap`: each part's
// copy has room for the bias's gradient.
//
// Grid: count = ceil(taps * ceil(n / 4) * k / 64) workgroups, x = min(count, 65535), y = ceil(count / x), z = parts.

alias Value = vec4f;

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
  k: u32, // output channels, in Values
  n: u32, // input channels of a group
  groups: u32,
  x_offset: u32, // offsets and steps in scalars (x) and Values (g, y)
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

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> g: array<Value>;
@group(0) @binding(2) var<storage, read_write> y: array<Value>;
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

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let part = group.z;
  let thread = (group.y * workgroups.x + group.x) * 64u + local;
  let k = thread % params.k;
  let tiles = (params.n + 3u) / 4u; // of four input channels
  let c = thread / params.k % tiles * 4u;
  let kernel_tap = thread / params.k / tiles;
  if (kernel_tap >= params.kernel_h * params.kernel_w) {
    return;
  }
  let of_group = k / (params.k / params.groups);
  let cs = of_group * params.n + min(vec4u(c, c + 1u, c + 2u, c + 3u), vec4u(params.n - 1u));
  let tap = vec2u(kernel_tap / params.kernel_w * params.dilation_h, kernel_tap % params.kernel_w * params.dilation_w);
  let inside = columns_inside(tap.y);
  let part_end = min((part + 1u) * params.chunk, params.pixels);
  let x_step = params.stride_w * params.x_pitch;
  let with_bias = (BIAS == 1u) & (c == 0u) & (kernel_tap == params.bias_tap);
  var bias_total = Value();
  var t0 = Value();
  var t1 = Value();
  var t2 = Value();
  var t3 = Value();
  for (var first = part * params.chunk; first < part_end; first += BLOCK) {
    let end = min(first + BLOCK, part_end);
    var bias_sum = Value();
    var s0 = Value();
    var s1 = Value();
    var s2 = Value();
    var s3 = Value();
    var p = first;
    while (p < end) {
      let line_end = min((p / params.out_width + 1u) * params.out_width, end);
      let pixels = run_from(p, line_end, tap, inside);
      p = line_end;
      var x_at = pixels.x;
      var g_at = pixels.g + k;
      for (var i = 0u; i < pixels.length; i++) {
        let g0 = g[g_at];
        if (with_bias) { bias_sum += g0; }
        s0 = fma(Value(x[x_at + cs.x]), g0, s0);
        s1 = fma(Value(x[x_at + cs.y]), g0, s1);
        s2 = fma(Value(x[x_at + cs.z]), g0, s2);
        s3 = fma(Value(x[x_at + cs.w]), g0, s3);
        x_at += x_step;
        g_at += params.g_pitch;
      }
    }
    bias_total += bias_sum;
    t0 += s0;
    t1 += s1;
    t2 += s2;
    t3 += s3;
  }
  let at = params.y_offset + part * params.y_part + kernel_tap * params.y_batch + c * params.y_pitch + k;
  y[at] = t0;
  if (c + 1u < params.n) { y[at + params.y_pitch] = t1; }
  if (c + 2u < params.n) { y[at + 2u * params.y_pitch] = t2; }
  if (c + 3u < params.n) { y[at + 3u * params.y_pitch] = t3; }
  if (with_bias) { y[params.bias_offset + part * params.y_part + k] = bias_total; }
}
