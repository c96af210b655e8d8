// Implicit GEMM for inputs whose channel count is no multiple of 4: matrix product, linear layer and dense convolution in one kernel, without im2col in memory.
//
//   y[image, row, n] = epilogue(bias[n] + sum over taps (ky, kx) and channels k of A[row, ky, kx, k] * w[ky * kernel_w + kx, k, n])
//   A[row, ky, kx, k] = prologue(a[image, oy * stride_h + ky * dilation_h - pad_h, ox * stride_w + kx * dilation_w - pad_w, k])
//
// where row = oy * out_width + ox is an output pixel; taps outside the image count as zero. A 1x1 kernel without stride
// or padding is the matrix product [rows, K] x [K, N]: set in_height = 1, in_width = out_width = rows.
//
// a: NHWC, read as scalars; w: [kernel_h * kernel_w, k, n], n contiguous; bias: [n]; y: NHWC. N is a multiple of 4, K is any count.
// Of the layouts, k and a_* are in scalars, everything else is in vec4f. Made for the stem (3 channels), where the sum is short
// (27 products); it is serial, so for long sums of odd length it is the less accurate choice.
//
// Each thread holds 8 rows x 8 columns (two vec4f) of y in registers; per channel it reads 8 scalars of a and two vec4f of w for
// 64 multiply-adds. COLUMN_LANES adjacent threads share rows and read adjacent vec4f of w. No barriers, no subgroups.
//
// Grid: x = ceil(rows_per_image / (8 * ROW_TILES)), y = ceil(n4 / (2 * COLUMN_LANES)), z = images.
// COLUMN_LANES times ROW_TILES threads, at most 64.
//
// Hooks: prologue sees each scalar of a that is loaded (pixel: the input pixel in the image, k: its channel), before the
// padding's zeros are put in; epilogue sees each output vec4 after the bias (row: the output pixel in the image,
// column: the output channel vec4). The graph compiler replaces their bodies; extra0_at .. extra3_at read further operands.

alias Value = vec4f;

override COLUMN_LANES: u32 = 4u;
override ROW_TILES: u32 = 16u;

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
  k: u32, // input channels
  n4: u32, // output channels / 4
  a_offset: u32, // a_*: in scalars; the rest in vec4f
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

@group(0) @binding(0) var<storage, read> a: array<f32>;
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
fn prologue(v: f32, image: u32, pixel: u32, k: u32) -> f32 { return v; }

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

fn load_a(at: Source, image: u32, k: u32) -> f32 {
  return select(0.0, prologue(a[at.offset + k], image, at.pixel, k), at.inside);
}

fn store(v: Value, image: u32, row: u32, column: u32) {
  if (row < params.rows_per_image) {
    y[params.y_offset + image * params.y_batch + row * params.y_pitch + column] = epilogue(v, image, row, column);
  }
}

@compute @workgroup_size(COLUMN_LANES * ROW_TILES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = group.z;
  let row = (group.x * ROW_TILES + local / COLUMN_LANES) * 8u;
  let column = group.y * (2u * COLUMN_LANES) + local % COLUMN_LANES;
  let n4 = params.n4;
  let n0 = min(column, n4 - 1u); // reads stay inside w; only real columns are stored
  let n1 = min(column + COLUMN_LANES, n4 - 1u);
  let base = params.a_offset + image * params.a_batch;
  let origin0 = origin(row + 0u);
  let origin1 = origin(row + 1u);
  let origin2 = origin(row + 2u);
  let origin3 = origin(row + 3u);
  let origin4 = origin(row + 4u);
  let origin5 = origin(row + 5u);
  let origin6 = origin(row + 6u);
  let origin7 = origin(row + 7u);
  var s0_0 = Value(); var s0_1 = Value();
  var s1_0 = Value(); var s1_1 = Value();
  var s2_0 = Value(); var s2_1 = Value();
  var s3_0 = Value(); var s3_1 = Value();
  var s4_0 = Value(); var s4_1 = Value();
  var s5_0 = Value(); var s5_1 = Value();
  var s6_0 = Value(); var s6_1 = Value();
  var s7_0 = Value(); var s7_1 = Value();
  var at = 0u; // row of w, times n4
  for (var ky = 0u; ky < params.kernel_h; ky++) {
    for (var kx = 0u; kx < params.kernel_w; kx++) {
      let tap = vec2u(ky * params.dilation_h, kx * params.dilation_w);
      let source0 = locate(origin0, tap, base);
      let source1 = locate(origin1, tap, base);
      let source2 = locate(origin2, tap, base);
      let source3 = locate(origin3, tap, base);
      let source4 = locate(origin4, tap, base);
      let source5 = locate(origin5, tap, base);
      let source6 = locate(origin6, tap, base);
      let source7 = locate(origin7, tap, base);
      for (var k = 0u; k < params.k; k++) {
        let w0 = w[at + n0];
        let w1 = w[at + n1];
        at += n4;
        let a0 = Value(load_a(source0, image, k));
        s0_0 = fma(a0, w0, s0_0); s0_1 = fma(a0, w1, s0_1);
        let a1 = Value(load_a(source1, image, k));
        s1_0 = fma(a1, w0, s1_0); s1_1 = fma(a1, w1, s1_1);
        let a2 = Value(load_a(source2, image, k));
        s2_0 = fma(a2, w0, s2_0); s2_1 = fma(a2, w1, s2_1);
        let a3 = Value(load_a(source3, image, k));
        s3_0 = fma(a3, w0, s3_0); s3_1 = fma(a3, w1, s3_1);
        let a4 = Value(load_a(source4, image, k));
        s4_0 = fma(a4, w0, s4_0); s4_1 = fma(a4, w1, s4_1);
        let a5 = Value(load_a(source5, image, k));
        s5_0 = fma(a5, w0, s5_0); s5_1 = fma(a5, w1, s5_1);
        let a6 = Value(load_a(source6, image, k));
        s6_0 = fma(a6, w0, s6_0); s6_1 = fma(a6, w1, s6_1);
        let a7 = Value(load_a(source7, image, k));
        s7_0 = fma(a7, w0, s7_0); s7_1 = fma(a7, w1, s7_1);
      }
    }
  }

  // A loop, and one of unknown length, so that a long epilogue is compiled once and not 8 times.
  let count = min(8u, max(params.rows_per_image, row) - row);
  if (column < n4) {
    let b0 = bias[n0];
    var tile0 = array<Value, 8>(s0_0, s1_0, s2_0, s3_0, s4_0, s5_0, s6_0, s7_0);
    for (var i = 0u; i < count; i++) {
      store(tile0[i] + b0, image, row + i, n0);
    }
  }
  if (column + COLUMN_LANES < n4) {
    let b1 = bias[n1];
    var tile1 = array<Value, 8>(s0_1, s1_1, s2_1, s3_1, s4_1, s5_1, s6_1, s7_1);
    for (var i = 0u; i < count; i++) {
      store(tile1[i] + b1, image, row + i, n1);
    }
  }
}
