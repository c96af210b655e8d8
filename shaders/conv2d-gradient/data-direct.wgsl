// Gradient of a convolution with respect to its input, by its definition: one element a thread, any channel counts, groups,
// strides, padding and dilation.
//
//   dX[image, iy, ix, c] = epilogue(sum over taps (ky, kx) and output channels k of G[oy, ox, k] * w[ky * kernel_w + kx, c, k])
//   G[oy, ox, k] = prologue(g[image, oy * out_width + ox, k]), g the gradient of the convolution's output
//
// where oy * stride_h + ky * dilation_h - pad_h = iy, and likewise in x: taps for which no such output pixel exists add nothing.
// Channel c belongs to group floor(c / (N / groups)), whose output channels are K / groups consecutive ones; w has N / groups input channels.
//
// g, dX: NHWC; w: [kernel_h * kernel_w, N / groups, K]. N input and K output channels. Everything is in scalars.
// The reference variant, and the fallback where channels are no multiple of 4, with groups, or with stride and dilation
// together. It reads two scalars a multiply-add: slow on purpose.
//
// Grid: count = ceil(in_height * in_width * n / 64) workgroups, x = min(count, 65535), y = ceil(count / x), z = images.
//
// Hooks: prologue sees each value of g that is loaded (pixel: in the output image, k: its channel), before the zeros
// outside the image are put in; epilogue sees each value of dX (row: the pixel in the image, column: its channel).

alias Value = f32;

const K_BLOCK = 256u; // channels a partial sum

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
  k: u32, // output channels
  n: u32, // input channels
  g_offset: u32, // offsets and steps in scalars
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
  groups: u32,
}

@group(0) @binding(0) var<storage, read> g: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> extra0: array<f32>;
@group(0) @binding(4) var<storage, read> extra1: array<f32>;
@group(0) @binding(5) var<storage, read> extra2: array<f32>;
@group(0) @binding(6) var<storage, read> extra3: array<f32>;
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

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) workgroups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let image = group.z;
  let element = (group.y * workgroups.x + group.x) * 64u + local;
  let row = element / params.n;
  let column = element - row * params.n;
  if (row >= params.in_height * params.in_width) {
    return;
  }
  let channels = params.n / params.groups;
  let of_group = column / channels;
  let outputs = params.k / params.groups;
  let first = of_group * outputs; // the group's first output channel
  let iy = row / params.in_width;
  let ix = row - iy * params.in_width;
  let base = params.g_offset + image * params.g_batch;
  let weights = params.w_offset + (column - of_group * channels) * params.w_pitch + first;

  var total = Value();
  for (var ky = 0u; ky < params.kernel_h; ky++) {
    for (var kx = 0u; kx < params.kernel_w; kx++) {
      // A position before the first window wraps to a huge one.
      let y_at = iy + params.pad_h - ky * params.dilation_h;
      let x_at = ix + params.pad_w - kx * params.dilation_w;
      let oy = y_at / params.stride_h;
      let ox = x_at / params.stride_w;
      let meets = (oy * params.stride_h == y_at) & (ox * params.stride_w == x_at);
      if (meets & (oy < params.out_height) & (ox < params.out_width)) {
        let pixel = oy * params.out_width + ox;
        let start = base + pixel * params.g_pitch + first;
        let tap = weights + (ky * params.kernel_w + kx) * params.w_batch;
        for (var k_begin = 0u; k_begin < outputs; k_begin += K_BLOCK) {
          var sum = Value();
          for (var k = k_begin; k < min(k_begin + K_BLOCK, outputs); k++) {
            sum += prologue(g[start + k], image, pixel, first + k) * w[tap + k];
          }
          total += sum;
        }
      }
    }
  }
  y[params.y_offset + image * params.y_batch + row * params.y_pitch + column] = epilogue(total, image, row, column);
}
