// Implicit GEMM: matrix product, linear layer and dense convolution in one kernel, without im2col in memory.
//
//   y[image, row, n] = epilogue(bias[n] + sum over taps (ky, kx) and channels k of A[row, ky, kx, k] * w[ky * kernel_w + kx, k, n])
//   A[row, ky, kx, k] = prologue(a[image, oy * stride_h + ky * dilation_h - pad_h, ox * stride_w + kx * dilation_w - pad_w, k])
//
// where row = oy * out_width + ox is an output pixel; taps outside the image count as zero. A 1x1 kernel without stride
// or padding is the matrix product [rows, K] x [K, N]: set in_height = 1, in_width = out_width = rows.
//
// a: NHWC, channels contiguous; w: [kernel_h * kernel_w, k, n], n contiguous; bias: [n]; y: NHWC. K and N are multiples of 4.
// Offsets, pitches and counts are in vec4f, so tensors may be slices of wider ones; nothing outside them is written.
//
// This variant: the four lanes of a quad share their 16 rows. Each lane loads a of only 4 of them and gets the other 12 by
// quad swaps, so a is loaded once a quad instead of once a lane; workgroup memory and barriers are not needed. Nothing depends
// on the subgroup size, but four threads with consecutive indices, from a multiple of four, must form a quad (they do on every known
// driver, and the start-up self-test proves it).
//
// Each thread holds 16 rows x 4 columns (one vec4f) of y. Lane q of a quad loads rows q, q + 4, q + 8, q + 12; swapping with
// lane q ^ j gives it row (q ^ j) of each four, so its accumulator 4 i + j belongs to row 4 i + (q ^ j): lanes hold the same
// rows in different orders, and only the store needs to know. Swaps are one instruction where broadcasts are many
// (SwiftShader), and loads, not arithmetic, are what software adapters spend their time on: 8 vec4f loads for 256 multiply-adds.
// w enters as 4x4 blocks, so that an update is one line: y's vec4f += block * a's vec4f. A partial sum covers at most 512
// products and is then added to the total: float32 error stays that of a blocked sum, not of a serial one.
//
// Grid: x = ceil(rows_per_image / (16 * ROW_TILES)), y = ceil(n4 / COLUMN_LANES), z = images.
// COLUMN_LANES, a multiple of 4, times ROW_TILES threads, at most 64.
//
// Hooks: prologue sees each value of a that is loaded (pixel: the input pixel in the image, k: the channel vec4), before
// the padding's zeros are put in; epilogue sees each output value after the bias (row: the output pixel in the image,
// column: the output channel vec4). The graph compiler replaces their bodies; extra0_at .. extra3_at read further operands.

enable subgroups;

alias Value = vec4f;

override COLUMN_LANES: u32 = 16u;
override ROW_TILES: u32 = 4u;

const K_BLOCK = 128u; // vec4f of channels, over the taps of one kernel row, in a partial sum

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

// The weights of four channels for four columns: times a's vec4f, their share of y's.
fn weights(at: u32) -> mat4x4f {
  return mat4x4f(w[at], w[at + params.n4], w[at + 2u * params.n4], w[at + 3u * params.n4]);
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
  let span = max(K_BLOCK / params.kernel_w, 1u);
  for (var ky = 0u; ky < params.kernel_h; ky++) {
    for (var k_begin = 0u; k_begin < params.k4; k_begin += span) {
      let k_end = min(k_begin + span, params.k4);
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
      for (var kx = 0u; kx < params.kernel_w; kx++) {
        let tap = vec2u(ky * params.dilation_h, kx * params.dilation_w);
        let source0 = locate(origin0, tap, base);
        let source1 = locate(origin1, tap, base);
        let source2 = locate(origin2, tap, base);
        let source3 = locate(origin3, tap, base);
        var at = ((ky * params.kernel_w + kx) * params.k4 + k_begin) * 4u * n4; // row of w, times n4
        for (var k = k_begin; k < k_end; k += 1u) {
          let w0 = weights(at + n0);
          at += 4u * n4;
          let a0 = load_a(source0, image, k);
          let a1 = load_a(source1, image, k);
          let a2 = load_a(source2, image, k);
          let a3 = load_a(source3, image, k);
          s0 += w0 * a0;
          s1 += w0 * quadSwapX(a0);
          s2 += w0 * quadSwapY(a0);
          s3 += w0 * quadSwapDiagonal(a0);
          s4 += w0 * a1;
          s5 += w0 * quadSwapX(a1);
          s6 += w0 * quadSwapY(a1);
          s7 += w0 * quadSwapDiagonal(a1);
          s8 += w0 * a2;
          s9 += w0 * quadSwapX(a2);
          s10 += w0 * quadSwapY(a2);
          s11 += w0 * quadSwapDiagonal(a2);
          s12 += w0 * a3;
          s13 += w0 * quadSwapX(a3);
          s14 += w0 * quadSwapY(a3);
          s15 += w0 * quadSwapDiagonal(a3);
        }
      }
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
  }

  // A loop, and one of unknown length, so that a long epilogue is compiled once and not 16 times.
  let count = min(16u, (params.rows_per_image + 3u) & ~3u);
  if (column < n4) {
    let b0 = bias[n0];
    var tile0 = array<Value, 16>(t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, t13, t14, t15);
    for (var i = 0u; i < count; i++) {
      store(tile0[i] + b0, image, row + (i ^ lane), n0);
    }
  }
}
