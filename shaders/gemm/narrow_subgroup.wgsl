// Implicit GEMM for inputs whose channel count is no multiple of 4: matrix product, linear layer and dense convolution in one kernel, without im2col in memory.
//
//   y[image, row, n] = epilogue(bias[n] + sum over taps (ky, kx) and channels k of A[row, ky, kx, k] * w[ky * kernel_w + kx, k, n])
//   A[row, ky, kx, k] = prologue(a[image, oy * stride_h + ky * dilation_h - pad_h, ox * stride_w + kx * dilation_w - pad_w, k])
//
// where row = oy * out_width + ox is an output pixel; taps outside the image count as zero. A 1x1 kernel without stride
// or padding is the matrix product [rows, K] x [K, N]: set in_height = 1, in_width = out_width = rows.
//
// a: NHWC, read as scalars; w: [kernel_h * kernel_w, k, n], n contiguous; bias: [n]; y: NHWC. N is a multiple of 4, K is any count.
// Of the layouts, k and a_* are in scalars, everything else is in vec4f. The sum is serial, as suits the stem's 27 products.
//
// narrow.wgsl with subgroup.wgsl's trick: the four lanes of a quad share 16 rows and hand each other a by quad swaps. Lane q loads
// rows q, q + 4, ..; swapping with lane q ^ j gives it row (q ^ j) of each four, so its accumulator 4 i + j belongs to row
// 4 i + (q ^ j). Each thread holds 16 rows x 4 columns of y and reads 4 scalars of a and one vec4f of w for 64 multiply-adds.
// Four threads with consecutive indices, from a multiple of four, must form a quad; the subgroup size does not matter.
//
// Grid: x = ceil(rows_per_image / (16 * ROW_TILES)), y = ceil(n4 / COLUMN_LANES), z = images.
// COLUMN_LANES, a multiple of 4, times ROW_TILES threads, at most 64.
//
// Hooks: prologue sees each scalar of a that is loaded (pixel: the input pixel in the image, k: its channel), before the
// padding's zeros are put in; epilogue sees each output vec4 after the bias (row: the output pixel in the image,
// column: the output channel vec4). The graph compiler replaces their bodies; extra0_at .. extra3_at read further operands.

enable subgroups;

alias Value = vec4f;

override COLUMN_LANES: u32 = 8u;
override ROW_TILES: u32 = 8u;

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
  let row = (group.x * ROW_TILES + local / COLUMN_LANES) * 16u;
  let column = group.y * COLUMN_LANES + local % COLUMN_LANES;
  let lane = local % 4u; // in the quad
  let mine = row + lane;
  let n4 = params.n4;
  let n0 = min(column, n4 - 1u); // reads stay inside w; only real columns are stored
  let base = params.a_offset + image * params.a_batch;
  let origin0 = origin(mine + 0u);
  let origin1 = origin(mine + 4u);
  let origin2 = origin(mine + 8u);
  let origin3 = origin(mine + 12u);
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
  var at = n0;
  for (var ky = 0u; ky < params.kernel_h; ky++) {
    for (var kx = 0u; kx < params.kernel_w; kx++) {
      let tap = vec2u(ky * params.dilation_h, kx * params.dilation_w);
      let source0 = locate(origin0, tap, base);
      let source1 = locate(origin1, tap, base);
      let source2 = locate(origin2, tap, base);
      let source3 = locate(origin3, tap, base);
      for (var k = 0u; k < params.k; k++) {
        let weight = w[at];
        at += n4;
        let a0 = load_a(source0, image, k);
        let a1 = load_a(source1, image, k);
        let a2 = load_a(source2, image, k);
        let a3 = load_a(source3, image, k);
        s0 = fma(Value(a0), weight, s0);
        s1 = fma(Value(quadSwapX(a0)), weight, s1);
        s2 = fma(Value(quadSwapY(a0)), weight, s2);
        s3 = fma(Value(quadSwapDiagonal(a0)), weight, s3);
        s4 = fma(Value(a1), weight, s4);
        s5 = fma(Value(quadSwapX(a1)), weight, s5);
        s6 = fma(Value(quadSwapY(a1)), weight, s6);
        s7 = fma(Value(quadSwapDiagonal(a1)), weight, s7);
        s8 = fma(Value(a2), weight, s8);
        s9 = fma(Value(quadSwapX(a2)), weight, s9);
        s10 = fma(Value(quadSwapY(a2)), weight, s10);
        s11 = fma(Value(quadSwapDiagonal(a2)), weight, s11);
        s12 = fma(Value(a3), weight, s12);
        s13 = fma(Value(quadSwapX(a3)), weight, s13);
        s14 = fma(Value(quadSwapY(a3)), weight, s14);
        s15 = fma(Value(quadSwapDiagonal(a3)), weight, s15);
      }
    }
  }

  // A loop, and one of unknown length, so that a long epilogue is compiled once and not 16 times.
  let count = min(16u, (params.rows_per_image + 3u) & ~3u);
  if (column < n4) {
    let b0 = bias[n0];
    var tile0 = array<Value, 16>(s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15);
    for (var i = 0u; i < count; i++) {
      store(tile0[i] + b0, image, row + (i ^ lane), n0);
    }
  }
}
