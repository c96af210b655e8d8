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
// This variant: for real GPUs. 64 threads compute a block of 64 rows x 64 columns of y. Per step of 16 channels they first copy
// 64 x 16 values of a and 16 x 64 of w into workgroup memory (8 KiB), then each thread adds 16 rank-1 updates to its own
// 8 x 8 tile: 64 multiply-adds for 16 values read. a is stored transposed, so that both reads are vec4f along the tile.
// Thread (tx, ty) owns rows 4 ty .. 4 ty + 3 and 32 more, and columns 4 tx .. 4 tx + 3 and 32 more: neighbours read
// neighbouring vec4f of w's tile and the same ones of a's, which suits the banks. In global memory four threads read 64
// contiguous bytes of a pixel, sixteen read 256 contiguous bytes of w.
// By default the sum of an output is serial in k: with K = 4608 its relative error is about 7e-7, against 1.3e-7 of the blocked
// variants. BLOCK_STEPS = 32 adds partial sums of 512 products instead, at the price of 64 more registers a thread: for
// GPUs that have them. At 0 the second set of sums is constant zero and the compiler drops it.
//
// Software adapters compile barriers slowly and run them slowly: never choose this one there.
//
// Grid: x = ceil(rows_per_image / 64), y = ceil(n4 / 16), z = images.
//
// Hooks: prologue sees each value of a that is loaded (pixel: the input pixel in the image, k: the channel vec4), before
// the padding's zeros are put in; epilogue sees each output value after the bias (row: the output pixel in the image,
// column: the output channel vec4). The graph compiler replaces their bodies; extra0_at .. extra3_at read further operands.

alias Value = vec4f;

override BLOCK_STEPS: u32 = 0u; // steps in a partial sum; 0: one serial sum

const STEP = 4u; // vec4f of channels in a step

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

var<workgroup> tile_a: array<vec4f, 256>; // [16 channels][64 rows / 4]
var<workgroup> tile_w: array<vec4f, 256>; // [16 channels][64 columns / 4]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = group.z;
  let n4 = params.n4;
  let base = params.a_offset + image * params.a_batch;

  // What this thread copies: channels 4 copy_k .. 4 copy_k + 3 of four rows of a; one column vec4f of four rows of w.
  let copy_k = local % 4u;
  let copy_rows = local / 4u;
  let copy_row = group.x * 64u + copy_rows * 4u;
  let origin0 = origin(copy_row + 0u);
  let origin1 = origin(copy_row + 1u);
  let origin2 = origin(copy_row + 2u);
  let origin3 = origin(copy_row + 3u);
  let copy_column = local % 16u;
  let copy_w = local / 16u;
  let copy_n = min(group.y * 16u + copy_column, n4 - 1u); // reads stay inside w; only real columns are stored

  // What it computes.
  let tx = local % 8u;
  let ty = local / 8u;
  var s0_0 = Value(); var s0_1 = Value();
  var s1_0 = Value(); var s1_1 = Value();
  var s2_0 = Value(); var s2_1 = Value();
  var s3_0 = Value(); var s3_1 = Value();
  var s4_0 = Value(); var s4_1 = Value();
  var s5_0 = Value(); var s5_1 = Value();
  var s6_0 = Value(); var s6_1 = Value();
  var s7_0 = Value(); var s7_1 = Value();
  var t0_0 = Value(); var t0_1 = Value();
  var t1_0 = Value(); var t1_1 = Value();
  var t2_0 = Value(); var t2_1 = Value();
  var t3_0 = Value(); var t3_1 = Value();
  var t4_0 = Value(); var t4_1 = Value();
  var t5_0 = Value(); var t5_1 = Value();
  var t6_0 = Value(); var t6_1 = Value();
  var t7_0 = Value(); var t7_1 = Value();
  var steps = 0u;

  for (var ky = 0u; ky < params.kernel_h; ky++) {
    for (var kx = 0u; kx < params.kernel_w; kx++) {
      let tap = vec2u(ky * params.dilation_h, kx * params.dilation_w);
      let source0 = locate(origin0, tap, base);
      let source1 = locate(origin1, tap, base);
      let source2 = locate(origin2, tap, base);
      let source3 = locate(origin3, tap, base);
      let rows_of_tap = params.k4 * 4u;
      let first_row = (ky * params.kernel_w + kx) * rows_of_tap; // of w
      for (var k_begin = 0u; k_begin < params.k4; k_begin += STEP) {
        // Channels past the end: zeros in a, any row of w.
        let k = k_begin + copy_k;
        let inside = k < params.k4;
        let safe_k = min(k, params.k4 - 1u);
        let a0 = select(Value(0.0), load_a(source0, image, safe_k), inside);
        let a1 = select(Value(0.0), load_a(source1, image, safe_k), inside);
        let a2 = select(Value(0.0), load_a(source2, image, safe_k), inside);
        let a3 = select(Value(0.0), load_a(source3, image, safe_k), inside);
        let w_row = k_begin * 4u + copy_w;
        let w0 = w[(first_row + min(w_row + 0u, rows_of_tap - 1u)) * n4 + copy_n];
        let w1 = w[(first_row + min(w_row + 4u, rows_of_tap - 1u)) * n4 + copy_n];
        let w2 = w[(first_row + min(w_row + 8u, rows_of_tap - 1u)) * n4 + copy_n];
        let w3 = w[(first_row + min(w_row + 12u, rows_of_tap - 1u)) * n4 + copy_n];
        workgroupBarrier(); // the last step's reads are done
        tile_a[copy_k * 64u + 0u + copy_rows] = vec4f(a0.x, a1.x, a2.x, a3.x);
        tile_a[copy_k * 64u + 16u + copy_rows] = vec4f(a0.y, a1.y, a2.y, a3.y);
        tile_a[copy_k * 64u + 32u + copy_rows] = vec4f(a0.z, a1.z, a2.z, a3.z);
        tile_a[copy_k * 64u + 48u + copy_rows] = vec4f(a0.w, a1.w, a2.w, a3.w);
        tile_w[(copy_w + 0u) * 16u + copy_column] = w0;
        tile_w[(copy_w + 4u) * 16u + copy_column] = w1;
        tile_w[(copy_w + 8u) * 16u + copy_column] = w2;
        tile_w[(copy_w + 12u) * 16u + copy_column] = w3;
        workgroupBarrier();
        for (var i = 0u; i < STEP * 4u; i++) {
          let at = i * 16u;
          let top = tile_a[at + ty];
          let bottom = tile_a[at + 8u + ty];
          let left = tile_w[at + tx];
          let right = tile_w[at + 8u + tx];
          s0_0 = fma(Value(top.x), left, s0_0); s0_1 = fma(Value(top.x), right, s0_1);
          s1_0 = fma(Value(top.y), left, s1_0); s1_1 = fma(Value(top.y), right, s1_1);
          s2_0 = fma(Value(top.z), left, s2_0); s2_1 = fma(Value(top.z), right, s2_1);
          s3_0 = fma(Value(top.w), left, s3_0); s3_1 = fma(Value(top.w), right, s3_1);
          s4_0 = fma(Value(bottom.x), left, s4_0); s4_1 = fma(Value(bottom.x), right, s4_1);
          s5_0 = fma(Value(bottom.y), left, s5_0); s5_1 = fma(Value(bottom.y), right, s5_1);
          s6_0 = fma(Value(bottom.z), left, s6_0); s6_1 = fma(Value(bottom.z), right, s6_1);
          s7_0 = fma(Value(bottom.w), left, s7_0); s7_1 = fma(Value(bottom.w), right, s7_1);
        }
        if (BLOCK_STEPS > 0u) {
          steps++;
          if (steps == BLOCK_STEPS) {
            steps = 0u;
            t0_0 += s0_0; t0_1 += s0_1; s0_0 = Value(); s0_1 = Value();
            t1_0 += s1_0; t1_1 += s1_1; s1_0 = Value(); s1_1 = Value();
            t2_0 += s2_0; t2_1 += s2_1; s2_0 = Value(); s2_1 = Value();
            t3_0 += s3_0; t3_1 += s3_1; s3_0 = Value(); s3_1 = Value();
            t4_0 += s4_0; t4_1 += s4_1; s4_0 = Value(); s4_1 = Value();
            t5_0 += s5_0; t5_1 += s5_1; s5_0 = Value(); s5_1 = Value();
            t6_0 += s6_0; t6_1 += s6_1; s6_0 = Value(); s6_1 = Value();
            t7_0 += s7_0; t7_1 += s7_1; s7_0 = Value(); s7_1 = Value();
          }
        }
      }
    }
  }

  let row = group.x * 64u + ty * 4u;
  let column = group.y * 16u + tx;
  if (column < n4) {
    let b0 = bias[column];
    store(t0_0 + s0_0 + b0, image, row + 0u, column);
    store(t1_0 + s1_0 + b0, image, row + 1u, column);
    store(t2_0 + s2_0 + b0, image, row + 2u, column);
    store(t3_0 + s3_0 + b0, image, row + 3u, column);
    store(t4_0 + s4_0 + b0, image, row + 32u, column);
    store(t5_0 + s5_0 + b0, image, row + 33u, column);
    store(t6_0 + s6_0 + b0, image, row + 34u, column);
    store(t7_0 + s7_0 + b0, image, row + 35u, column);
  }
  if (column + 8u < n4) {
    let b1 = bias[column + 8u];
    store(t0_1 + s0_1 + b1, image, row + 0u, column + 8u);
    store(t1_1 + s1_1 + b1, image, row + 1u, column + 8u);
    store(t2_1 + s2_1 + b1, image, row + 2u, column + 8u);
    store(t3_1 + s3_1 + b1, image, row + 3u, column + 8u);
    store(t4_1 + s4_1 + b1, image, row + 32u, column + 8u);
    store(t5_1 + s5_1 + b1, image, row + 33u, column + 8u);
    store(t6_1 + s6_1 + b1, image, row + 34u, column + 8u);
    store(t7_1 + s7_1 + b1, image, row + 35u, column + 8u);
  }
}
