// Depthwise convolution with a channel multiplier m: each input channel has its own m kernels.
//
//   y[image, row, j * C + c] = epilogue(bias[j * C + c] + sum over taps (ky, kx) of A[row, ky, kx, c] * w[ky * kernel_w + kx, j, c])
//   A[row, ky, kx, c] = prologue(a[image, oy * stride_h + ky * dilation_h - pad_h, ox * stride_w + kx * dilation_w - pad_w, c])
//
// where row = oy * out_width + ox is an output pixel, c < C and j < m. Taps outside the image count as zero. Output channels are
// ordered [m, C] (PyTorch's grouped convolution has [C, m]), so that each of the m maps is contiguous in c and vec4f read alike.
//
// a: NHWC; w: [kernel_h * kernel_w, m, C], C contiguous; bias: [m, C]; y: NHWC with m C channels. C is a multiple of 4.
// k4 = C / 4, n4 = m C / 4 (m follows from the two). Offsets, pitches and counts are in vec4f.
//
// Each thread computes four consecutive output pixels of one channel vec4f: one vec4f of w serves four of a. Neighbouring
// threads have neighbouring channels. No barriers, no subgroups.
//
// Grid: count = ceil(ceil(rows_per_image / 4) * n4 / 64) workgroups, x = min(count, 65535), y = ceil(count / x), z = images.
//
// Hooks: prologue sees each value of a that is loaded (pixel: the input pixel in the image, k: the channel vec4), before
// the padding's zeros are put in; epilogue sees each output value after the bias (row: the output pixel in the image,
// column: the output channel vec4). The graph compiler replaces their bodies; extra0_at .. extra3_at read further operands.

alias Value = vec4f;

struct Params {
  rows_per_image: u32, // output height * output width
  images: u32,
  in_height: u32,
  in_width: u32,
  out_width: u32,
  kernel_h: u32,
  kernel_w: u32,
  stride_h: u32,
  stride_w: u32,
  pad_h: u32,
  pad_w: u32,
  dilation_h: u32,
  dilation_w: u32,
  k4: u32, // input channels / 4
  n4: u32, // output channels / 4
  a_offset: u32, // a_*: in vec4f; the rest in vec4f
  a_pitch: u32, // from one pixel to the next
  a_batch: u32, // from one image to the next
  y_offset: u32,
  y_pitch: u32,
  y_batch: u32,
  extra0_offset: u32,
  extra0_pitch: u32,
  extra0_batch: u32,
  extra0_column: u32, // 1: one value a column, 0: one value a row
  extra1_offset: u32,
  extra1_pitch: u32,
  extra1_batch: u32,
  extra1_column: u32,
  extra2_offset: u32,
  extra2_pitch: u32,
  extra2_batch: u32,
  extra2_column: u32,
  extra3_offset: u32,
  extra3_pitch: u32,
  extra3_batch: u32,
  extra3_column: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read> extra0: array<vec4f>;
@group(0) @binding(5) var<storage, read> extra1: array<vec4f>;
@group(0) @binding(6) var<storage, read> extra2: array<vec4f>;
@group(0) @binding(7) var<storage, read> extra3: array<vec4f>;
@group(0) @binding(8) var<uniform> params: Params;

fn extra0_at(image: u32, row: u32, column: u32) -> Value {
  return extra0[params.extra0_offset + image * params.extra0_batch + row * params.extra0_pitch + column * params.extra0_column];
}

fn extra1_at(image: u32, row: u32, column: u32) -> Value {
  return extra1[params.extra1_offset + image * params.extra1_batch + row * params.extra1_pitch + column * params.extra1_column];
}

fn extra2_at(image: u32, row: u32, column: u32) -> Value {
  return extra2[params.extra2_offset + image * params.extra2_batch + row * params.extra2_pitch + column * params.extra2_column];
}

fn extra3_at(image: u32, row: u32, column: u32) -> Value {
  return extra3[params.extra3_offset + image * params.extra3_batch + row * params.extra3_pitch + column * params.extra3_column];
}

// hook
fn prologue(v: Value, image: u32, pixel: u32, k: u32) -> Value { return v; }

// hook
fn epilogue(v: Value, image: u32, row: u32, column: u32) -> Value { return v; }

// Top left input position of an output row's window; a row past the end takes the last one, so that it reads inside.
fn origin(row: u32) -> vec2i {
  let safe = min(row, params.rows_per_image - 1u);
  let oy = safe / params.out_width;
  let ox = safe - oy * params.out_width;
  return vec2i(vec2u(oy * params.stride_h, ox * params.stride_w)) - vec2i(vec2u(params.pad_h, params.pad_w));
}

// One tap of one output row: where the pixel's channels begin in a, and whether the tap lies inside the image.
// Outside, the first pixel is read and load_a puts zero in its place.
struct Source {
  offset: u32,
  pixel: u32,
  inside: bool,
}

fn locate(origin: vec2i, tap: vec2u, base: u32) -> Source {
  let at = vec2u(origin + vec2i(tap)); // a negative position wraps to a huge one
  let inside = (at.x < params.in_height) & (at.y < params.in_width);
  let pixel = select(0u, at.x * params.in_width + at.y, inside);
  return Source(base + pixel * params.a_pitch, pixel, inside);
}

fn load_a(at: Source, image: u32, k: u32) -> Value {
  return select(Value(0.0), prologue(a[at.offset + k], image, at.pixel, k), at.inside);
}

fn store(v: Value, image: u32, row: u32, column: u32) {
  if (row < params.rows_per_image) {
    y[params.y_offset + image * params.y_batch + row * params.y_pitch + column] = epilogue(v, image, row, column);
  }
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let image = group.z;
  let n4 = params.n4;
  let thread = (group.y * workgroups.x + group.x) * 64u + local;
  let row = thread / n4 * 4u;
  let column = thread % n4;
  if (row >= params.rows_per_image) {
    return;
  }
  let channel = column % params.k4;
  let base = params.a_offset + image * params.a_batch;
  let origin0 = origin(row + 0u);
  let origin1 = origin(row + 1u);
  let origin2 = origin(row + 2u);
  let origin3 = origin(row + 3u);
  var s0 = Value();
  var s1 = Value();
  var s2 = Value();
  var s3 = Value();
  for (var ky = 0u; ky < params.kernel_h; ky++) {
    for (var kx = 0u; kx < params.kernel_w; kx++) {
      let tap = vec2u(ky * params.dilation_h, kx * params.dilation_w);
      let weight = w[(ky * params.kernel_w + kx) * n4 + column];
      s0 = fma(load_a(locate(origin0, tap, base), image, channel), weight, s0);
      s1 = fma(load_a(locate(origin1, tap, base), image, channel), weight, s1);
      s2 = fma(load_a(locate(origin2, tap, base), image, channel), weight, s2);
      s3 = fma(load_a(locate(origin3, tap, base), image, channel), weight, s3);
    }
  }
  let b = bias[column];
  store(s0 + b, image, row + 0u, column);
  store(s1 + b, image, row + 1u, column);
  store(s2 + b, image, row + 2u, column);
  store(s3 + b, image, row + 3u, column);
}
