// Gradient of a dense convolution or linear layer with respect to its input, as an implicit matrix product.
//
//   dX[image, iy, ix, c] = epilogue(sum over taps (ky, kx) and output channels k of G[oy, ox, k] * w[ky * kernel_w + kx, c, k])
//   G[oy, ox, k] = prologue(g[image, oy * out_width + ox, k]), g the gradient of the convolution's output
//
// where oy * stride_h + ky * dilation_h - pad_h = iy, and likewise in x: taps for which no such output pixel exists add nothing.
// With a stride, input pixels of one phase (ry, rx) = (iy mod stride_h, ix mod stride_w) meet the same taps, every stride-th one:
// each phase is a dense convolution of g with its own few taps, and nothing is multiplied by zero. 3x3 taps of stride 2 make
// four phases of 1, 2, 2 and 4 taps. Here row numbers the pixels of a phase: iy = ty * stride_h + ry, ix = tx * stride_w + rx.
// Along each axis stride or dilation must be 1. A 1x1 kernel is the product with the transposed weights.
//
// g, dX: NHWC; w: [kernel_h * kernel_w, c, k] as the forward kernels have it, read transposed. K and N are multiples of 4:
// k4 = output channels / 4, n4 = input channels / 4. Offsets, pitches and counts are in vec4f, so tensors may be slices
// of wider ones; nothing outside them is written.
//
// This variant: no barriers, no workgroup memory, no subgroups: it runs everywhere, and compiles fast on software adapters.
// Each thread holds 8 rows x 8 channels (two vec4f) of dX in registers; per step of 4 output channels it reads 8 vec4f of g and
// 8 vec4f of w for 256 multiply-adds. A partial sum covers at most 512 products and is then added to the total.
//
// Grid: x = ceil(pixels of phase 0 / (8 * ROW_TILES)), y = ceil(n4 / (2 * COLUMN_LANES)), z = images * stride_h * stride_w.
// COLUMN_LANES times ROW_TILES threads, at most 64.
//
// Hooks: prologue sees each value of g that is loaded (pixel: in the output image, k: the channel vec4), before the zeros
// outside the image are put in; epilogue sees each value of dX (row: the pixel in the image, column: the channel vec4).

alias Value = vec4f;

override COLUMN_LANES: u32 = 8u;
override ROW_TILES: u32 = 8u;
override PHASES: bool = true; // false: no stride, a row is a pixel

const K_BLOCK = 128u; // vec4f of channels, over the taps of one kernel row, in a partial sum

struct Params {
  images: u32,
  in_height: u32, // of dX
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
  g_offset: u32, // offsets and steps in vec4f
  g_pitch: u32, // from one pixel to the next
  g_batch: u32, // from one image to the next
  w_offset: u32,
  w_pitch: u32, // from one input channel to the next
  w_batch: u32, // from one tap to the next
  y_offset: u32, // y is dX
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

@group(0) @binding(0) var<storage, read> g: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<storage, read> extra0: array<vec4f>;
@group(0) @binding(4) var<storage, read> extra1: array<vec4f>;
@group(0) @binding(5) var<storage, read> extra2: array<vec4f>;
@group(0) @binding(6) var<storage, read> extra3: array<vec4f>;
@group(0) @binding(7) var<uniform> params: Params;

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

// A phase: its offset in the image, the pixels it has, its first tap, how many taps, and what the first tap adds to ty and tx.
struct Phase {
  offset: vec2u,
  size: vec2u,
  tap: vec2u,
  taps: vec2u,
  lead: vec2i,
}

fn phase_of(index: u32) -> Phase {
  let stride = vec2u(params.stride_h, params.stride_w);
  let pad = vec2u(params.pad_h, params.pad_w);
  let kernel = vec2u(params.kernel_h, params.kernel_w);
  let offset = vec2u(index / stride.y, index % stride.y);
  let size = (vec2u(params.in_height, params.in_width) + stride - 1u - offset) / stride;
  let tap = (offset + pad) % stride;
  let taps = (max(kernel, tap) - tap + stride - 1u) / stride;
  return Phase(offset, size, tap, taps, vec2i((offset + pad - tap) / stride));
}

// The position in g that tap 0 gives a row of the phase; a row past the end takes the last one, so that it reads inside.
fn origin(row: u32, phase: Phase) -> vec2i {
  let safe = min(row, max(phase.size.x * phase.size.y, 1u) - 1u);
  let ty = safe / max(phase.size.y, 1u);
  let tx = safe - ty * phase.size.y;
  return vec2i(vec2u(ty, tx)) + phase.lead;
}

// One tap of one row: where the pixel's channels begin in g, and whether it lies inside the image.
// Outside, the first pixel is read and load_g puts zero in its place.
struct Source {
  offset: u32,
  pixel: u32,
  inside: bool,
}

fn locate(origin: vec2i, tap: vec2u, base: u32) -> Source {
  let at = vec2u(origin - vec2i(tap)); // a negative position wraps to a huge one
  let inside = (at.x < params.out_height) & (at.y < params.out_width);
  let pixel = select(0u, at.x * params.out_width + at.y, inside);
  return Source(base + pixel * params.g_pitch, pixel, inside);
}

fn load_g(at: Source, image: u32, k: u32) -> Value {
  return select(Value(0.0), prologue(g[at.offset + k], image, at.pixel, k), at.inside);
}

// The weights of four output channels for four input channels: times g's vec4f, their share of dX's.
fn weights(at: u32) -> mat4x4f {
  return transpose(mat4x4f(w[at], w[at + params.w_pitch], w[at + 2u * params.w_pitch], w[at + 3u * params.w_pitch]));
}

fn store(v: Value, image: u32, row: u32, column: u32, phase: Phase) {
  if (row < phase.size.x * phase.size.y) {
    var pixel = row;
    if (PHASES) {
      let ty = row / phase.size.y;
      let tx = row - ty * phase.size.y;
      pixel = (ty * params.stride_h + phase.offset.x) * params.in_width + tx * params.stride_w + phase.offset.y;
    }
    y[params.y_offset + image * params.y_batch + pixel * params.y_pitch + column] = epilogue(v, image, pixel, column);
  }
}

@compute @workgroup_size(COLUMN_LANES * ROW_TILES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let phases = params.stride_h * params.stride_w;
  let image = group.z / phases;
  let phase = phase_of(group.z % phases);
  let row = (group.x * ROW_TILES + local / COLUMN_LANES) * 8u;
  let column = group.y * (2u * COLUMN_LANES) + local % COLUMN_LANES;
  let n0 = min(column, params.n4 - 1u); // reads stay inside w; only real columns are stored
  let n1 = min(column + COLUMN_LANES, params.n4 - 1u);
  let first0 = params.w_offset + 4u * n0 * params.w_pitch;
  let first1 = params.w_offset + 4u * n1 * params.w_pitch;
  let base = params.g_offset + image * params.g_batch;
  let origin0 = origin(row + 0u, phase);
  let origin1 = origin(row + 1u, phase);
  let origin2 = origin(row + 2u, phase);
  let origin3 = origin(row + 3u, phase);
  let origin4 = origin(row + 4u, phase);
  let origin5 = origin(row + 5u, phase);
  let origin6 = origin(row + 6u, phase);
  let origin7 = origin(row + 7u, phase);
  var t0_0 = Value(); var t0_1 = Value();
  var t1_0 = Value(); var t1_1 = Value();
  var t2_0 = Value(); var t2_1 = Value();
  var t3_0 = Value(); var t3_1 = Value();
  var t4_0 = Value(); var t4_1 = Value();
  var t5_0 = Value(); var t5_1 = Value();
  var t6_0 = Value(); var t6_1 = Value();
  var t7_0 = Value(); var t7_1 = Value();
  let span = max(K_BLOCK / max(phase.taps.y, 1u), 1u);
  for (var jy = 0u; jy < phase.taps.x; jy++) {
    for (var k_begin = 0u; k_begin < params.k4; k_begin += span) {
      let k_end = min(k_begin + span, params.k4);
      var s0_0 = Value(); var s0_1 = Value();
      var s1_0 = Value(); var s1_1 = Value();
      var s2_0 = Value(); var s2_1 = Value();
      var s3_0 = Value(); var s3_1 = Value();
      var s4_0 = Value(); var s4_1 = Value();
      var s5_0 = Value(); var s5_1 = Value();
      var s6_0 = Value(); var s6_1 = Value();
      var s7_0 = Value(); var s7_1 = Value();
      for (var jx = 0u; jx < phase.taps.y; jx++) {
        let tap = vec2u(jy * params.dilation_h, jx * params.dilation_w);
        let source0 = locate(origin0, tap, base);
        let source1 = locate(origin1, tap, base);
        let source2 = locate(origin2, tap, base);
        let source3 = locate(origin3, tap, base);
        let source4 = locate(origin4, tap, base);
        let source5 = locate(origin5, tap, base);
        let source6 = locate(origin6, tap, base);
        let source7 = locate(origin7, tap, base);
        let ky = phase.tap.x + jy * params.stride_h;
        let kx = phase.tap.y + jx * params.stride_w;
        let at = (ky * params.kernel_w + kx) * params.w_batch;
        for (var k = k_begin; k < k_end; k += 1u) {
          let w0 = weights(first0 + at + k);
          let w1 = weights(first1 + at + k);
          let g0 = load_g(source0, image, k);
          let g1 = load_g(source1, image, k);
          let g2 = load_g(source2, image, k);
          let g3 = load_g(source3, image, k);
          let g4 = load_g(source4, image, k);
          let g5 = load_g(source5, image, k);
          let g6 = load_g(source6, image, k);
          let g7 = load_g(source7, image, k);
          s0_0 += w0 * g0; s0_1 += w1 * g0;
          s1_0 += w0 * g1; s1_1 += w1 * g1;
          s2_0 += w0 * g2; s2_1 += w1 * g2;
          s3_0 += w0 * g3; s3_1 += w1 * g3;
          s4_0 += w0 * g4; s4_1 += w1 * g4;
          s5_0 += w0 * g5; s5_1 += w1 * g5;
          s6_0 += w0 * g6; s6_1 += w1 * g6;
          s7_0 += w0 * g7; s7_1 += w1 * g7;
        }
      }
      t0_0 += s0_0; t0_1 += s0_1;
      t1_0 += s1_0; t1_1 += s1_1;
      t2_0 += s2_0; t2_1 += s2_1;
      t3_0 += s3_0; t3_1 += s3_1;
      t4_0 += s4_0; t4_1 += s4_1;
      t5_0 += s5_0; t5_1 += s5_1;
      t6_0 += s6_0; t6_1 += s6_1;
      t7_0 += s7_0; t7_1 += s7_1;
    }
  }

  // A loop, and one of unknown length, so that a long epilogue is compiled once and not 8 times.
  let count = min(8u, max(phase.size.x * phase.size.y, row) - row);
  if (column < params.n4) {
    var tile0 = array<Value, 8>(t0_0, t1_0, t2_0, t3_0, t4_0, t5_0, t6_0, t7_0);
    for (var i = 0u; i < count; i++) {
      store(tile0[i], image, row + i, n0, phase);
    }
  }
  if (column + COLUMN_LANES < params.n4) {
    var tile1 = array<Value, 8>(t0_1, t1_1, t2_1, t3_1, t4_1, t5_1, t6_1, t7_1);
    for (var i = 0u; i < count; i++) {
      store(tile1[i], image, row + i, n1, phase);
    }
  }
}
