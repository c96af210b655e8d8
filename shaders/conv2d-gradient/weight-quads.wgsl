// Gradient of a dense convolution or linear layer with respect to its weights, as a matrix product over pixels.
//
//   dW[ky * kernel_w + kx, c, k] = sum over images and output pixels (oy, ox) of X[iy, ix, c] * g[oy, ox, k]
//
// where iy = oy * stride_h + ky * dilation_h - pad_h and ix likewise, and g is the gradient of the convolution's output. Outside the
// image x counts as zero.
//
// The first of two stages: the sum is split, each part of `chunk` consecutive output pixels (counted over all images) has its own
// copy of dW, and reduce/parts.wgsl adds the copies in order. So many threads work on few weights, and the bits are the same
// every time. Inside a part, sums of at most 512 pixels are added to the total, so that float32 error stays that of a blocked sum.
//
// x, g: NHWC; y: dW as [kernel_h * kernel_w * c, k], or one such copy a part. Both channel counts are multiples of 4:
// n4 = input channels / 4, k4 = output channels / 4. Offsets, pitches and counts are in vec4f.
//
// This variant: the one for software adapters with subgroups. A quad of four lanes holds 16 x 16 weights: four rows, each a tap and a vec4f
// of input channels, counted as tap * n4 + c, and four vec4f of output channels, a lane's own. A lane loads x for one row and gets
// the other three by quad swaps: lane q's accumulators 4 j .. 4 j + 3 belong to the row that lane q ^ j loads. Rows of several taps
// stand in one quad, and quads of several taps in one workgroup, so that few channels leave no lane idle; all walk the same
// output pixels. Four pixels are taken at once, so that an update is one line: dW's vec4f += block of g * four pixels of
// one channel; 8 vec4f loads for 256 multiply-adds. Past the end of a line the last pixel is read again and x counts as zero.
//
// With BIAS = 1 the quads of the first rows add up g itself as well: each part's copy has room for the bias's gradient.
//
// Grid: x = ceil(ceil(taps * n4 / 4) * ceil(k4 / 4) / (LANES / 4)), z = parts. LANES: a multiple of 4, at most 64.

enable subgroups;

alias Value = vec4f;

override LANES: u32 = 64u;
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
  y_pitch: u32, // from one input channel to the next, and from a tap's last to the next tap's first
  y_part: u32, // from one part's copy to the next
  bias_offset: u32, // of the first copy of the bias's gradient
}

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

const BLOCK = 512u; // pixels in a partial sum

// Four weights of one row, at `at` of dW's copy.
fn store(at: u32, row: u32, v0: Value, v1: Value, v2: Value, v3: Value) {
  if (row < params.kernel_h * params.kernel_w * params.n4) {
    let first = at + 4u * row * params.y_pitch;
    y[first] = v0;
    y[first + params.y_pitch] = v1;
    y[first + 2u * params.y_pitch] = v2;
    y[first + 3u * params.y_pitch] = v3;
  }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let part = group.z;
  let lane = local % 4u; // in the quad
  let quad = group.x * (LANES / 4u) + local / 4u;
  let across = (params.k4 + 3u) / 4u; // quads
  let tile = quad / across; // of four rows
  let column = quad % across * 4u + lane;
  // Reads stay inside; only real weights are stored.
  let row = min(tile * 4u + lane, params.kernel_h * params.kernel_w * params.n4 - 1u);
  let k = min(column, params.k4 - 1u);
  let kernel_tap = row / params.n4;
  let c = row % params.n4;
  let dy = kernel_tap / params.kernel_w * params.dilation_h - params.pad_h; // above the image wraps to a huge one
  let dx = kernel_tap % params.kernel_w * params.dilation_w - params.pad_w;
  let part_end = min((part + 1u) * params.chunk, params.pixels);
  let with_bias = (BIAS == 1u) & (tile == 0u);
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
      let line = p / params.out_width; // over all images
      let start = line * params.out_width;
      let line_end = min(start + params.out_width, end);
      let image = line / params.out_height;
      let oy = line - image * params.out_height;
      let iy = oy * params.stride_h + dy;
      let width = select(0u, params.in_width, iy < params.in_height);
      let x_line = min(iy, params.in_height - 1u) * params.in_width * params.x_pitch;
      let x_at = params.x_offset + image * params.x_batch + x_line + c;
      let g_at = params.g_offset + image * params.g_batch + oy * params.out_width * params.g_pitch + k;
      let last = line_end - 1u - start;
      for (var i = p - start; i <= last; i += 4u) {
        let four = vec4u(i, i + 1u, i + 2u, i + 3u);
        let counts = four <= vec4u(last);
        let ox = min(four, vec4u(last));
        let g_from = g_at + ox * params.g_pitch;
        let ix = ox * params.stride_w + dx;
        let inside = counts & (ix < vec4u(width));
        let x_from = x_at + min(ix, vec4u(params.in_width - 1u)) * params.x_pitch;
        let x0 = select(Value(), x[x_from.x], inside.x);
        let x1 = select(Value(), x[x_from.y], inside.y);
        let x2 = select(Value(), x[x_from.z], inside.z);
        let x3 = select(Value(), x[x_from.w], inside.w);
        let g0 = mat4x4f(g[g_from.x], g[g_from.y], g[g_from.z], g[g_from.w]);
        let v0 = Value(x0.x, x1.x, x2.x, x3.x);
        let v1 = Value(x0.y, x1.y, x2.y, x3.y);
        let v2 = Value(x0.z, x1.z, x2.z, x3.z);
        let v3 = Value(x0.w, x1.w, x2.w, x3.w);
        if (with_bias) { bias_sum += g0 * select(Value(), Value(1.0), counts); }
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
      p = line_end;
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
    let at = params.y_offset + part * params.y_part + column;
    store(at, tile * 4u + (0u ^ lane), t0, t1, t2, t3);
    store(at, tile * 4u + (1u ^ lane), t4, t5, t6, t7);
    store(at, tile * 4u + (2u ^ lane), t8, t9, t10, t11);
    store(at, tile * 4u + (3u ^ lane), t12, t13, t14, t15);
    if (with_bias) { y[params.bias_offset + part * params.y_part + column] = bias_total; }
  }
}
