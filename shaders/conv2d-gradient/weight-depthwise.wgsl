// Gradient of a depthwise convolution with channel multiplier m with respect to its weights.
//
//   dW[ky * kernel_w + kx, j, c] = sum over images and output pixels (oy, ox) of X[iy, ix, c] * g[oy, ox, j * C + c]
//
// where iy = oy * stride_h + ky * dilation_h - pad_h and ix likewise, and g is the gradient of the convolution's output. Pixels
// outside the image are never visited: for each tap the output columns that meet the image are an interval.
//
// The first of two stages: the sum is split, each part of `chunk` consecutive output pixels (counted over all images) has its own
// copy of dW, and reduce/parts.wgsl adds the copies in order. So many threads work on few weights, and the bits are the same
// every time. Inside a part, sums of at most 512 pixels are added to the total, so that float32 error stays that of a blocked sum.
//
// x: NHWC with C channels; g: NHWC with m C channels in the order [m, C]; y: dW as [kernel_h * kernel_w, m, C], or one such copy a
// part. Value is vec4f where C is a multiple of 4, else f32. One Value a thread, neighbours have neighbouring channels.
//
// With BIAS = 1 the workgroups of the first input channels add up g itself as well, on the way through `bias_tap`: each part's
// copy has room for the bias's gradient.
//
// Grid: count = ceil(taps * m * n / 64) workgroups, x = min(count, 65535), y = ceil(count / x), z = parts.

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
  m: u32, // channel multiplier
  n: u32, // input channels, in Values
  x_offset: u32, // offsets and steps in Values
  x_pitch: u32, // from one pixel to the next
  x_batch: u32, // from one image to the next
  g_offset: u32,
  g_pitch: u32,
  g_batch: u32,
  y_offset: u32, // y is dW or its copies
  y_pitch: u32, // from one of the m to the next
  y_batch: u32, // from one tap to the next
  y_part: u32, // from one part's copy to the next
  bias_offset: u32, // of the first copy of the bias's gradient
  bias_tap: u32, // one that meets the image at every output pixel
}

@group(0) @binding(0) var<storage, read> x: array<Value>;
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
  let c = thread % params.n;
  let j = thread / params.n % params.m;
  let kernel_tap = thread / params.n / params.m;
  if (kernel_tap >= params.kernel_h * params.kernel_w) {
    return;
  }
  let tap = vec2u(kernel_tap / params.kernel_w * params.dilation_h, kernel_tap % params.kernel_w * params.dilation_w);
  let inside = columns_inside(tap.y);
  let part_end = min((part + 1u) * params.chunk, params.pixels);
  let x_step = params.stride_w * params.x_pitch;
  let with_bias = (BIAS == 1u) & (kernel_tap == params.bias_tap);
  var bias_total = Value();
  var total = Value();
  for (var first = part * params.chunk; first < part_end; first += BLOCK) {
    let end = min(first + BLOCK, part_end);
    var bias_sum = Value();
    var sum = Value();
    var p = first;
    while (p < end) {
      let line_end = min((p / params.out_width + 1u) * params.out_width, end);
      let pixels = run_from(p, line_end, tap, inside);
      p = line_end;
      var x_at = pixels.x + c;
      var g_at = pixels.g + j * params.n + c;
      for (var i = 0u; i < pixels.length; i++) {
        let v = g[g_at];
        if (with_bias) { bias_sum += v; }
        sum = fma(x[x_at], v, sum);
        x_at += x_step;
        g_at += params.g_pitch;
      }
    }
    bias_total += bias_sum;
    total += sum;
  }
  y[params.y_offset + part * params.y_part + kernel_tap * params.y_batch + j * params.y_pitch + c] = total;
  if (with_bias) { y[params.bias_offset + part * params.y_part + j * params.n + c] = bias_total; }
}
