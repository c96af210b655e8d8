// Convolution by its definition: one output element a thread, any channel counts, groups, strides, padding and dilation.
//
//   y[image, row, n] = epilogue(bias[n] + sum over taps (ky, kx) and channels c of A[row, ky, kx, g * C + c] * w[ky * kernel_w + kx, c, n])
//   A[row, ky, kx, k] = prologue(a[image, oy * stride_h + ky * dilation_h - pad_h, ox * stride_w + kx * dilation_w - pad_w, k])
//
// where row = oy * out_width + ox is an output pixel, C = k / groups, and g = floor(n / (N / groups)) is the group of output
// channel n. Taps outside the image count as zero. A depthwise convolution is groups = k.
//
// a: NHWC; w: [kernel_h * kernel_w, k / groups, n], n contiguous; bias: [n]; y: NHWC. Everything is in scalars.
// The reference variant of every convolution and matrix product, and the fallback where channels are no multiple of 4.
// It reads two scalars a multiply-add: slow on purpose.
//
// Grid: count = ceil(rows_per_image * n / 64) workgroups, x = min(count, 65535), y = ceil(count / x), z = images.
//
// Hooks: prologue sees each value of a that is loaded (pixel: the input pixel in the image, k: its channel), before the
// padding's zeros are put in; epilogue sees each output value after the bias (row: the output pixel in the image, column:
// the output channel). The graph compiler replaces their bodies; extra0_at .. extra3_at read further operands.

alias Value = f32;

// Depthwise with a multiplier m: output channels are ordered [m, k] (n % groups is the group) instead of [k, m].
override INTERLEAVED_GROUPS: bool = false;

const K_BLOCK = 256u; // channels a partial sum

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
  n: u32, // output channels
  a_offset: u32, // a_*: in scalars; the rest in scalars
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
  groups: u32, // of the convolution; n and k are the totals over all groups
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> extra0: array<f32>;
@group(0) @binding(5) var<storage, read> extra1: array<f32>;
@group(0) @binding(6) var<storage, read> extra2: array<f32>;
@group(0) @binding(7) var<storage, read> extra3: array<f32>;
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
  if (row >= params.rows_per_image) {
    return;
  }
  let channels = params.k / params.groups;
  let of_group = select(column / (params.n / params.groups), column % params.groups, INTERLEAVED_GROUPS);
  let first = of_group * channels; // the group's first input channel
  let oy = row / params.out_width;
  let ox = row - oy * params.out_width;
  let origin = vec2i(vec2u(oy * params.stride_h, ox * params.stride_w)) - vec2i(vec2u(params.pad_h, params.pad_w));
  let base = params.a_offset + image * params.a_batch;

  var total = Value();
  for (var ky = 0u; ky < params.kernel_h; ky++) {
    for (var kx = 0u; kx < params.kernel_w; kx++) {
      let at = vec2u(origin + vec2i(vec2u(ky * params.dilation_h, kx * params.dilation_w))); // negative wraps to huge
      if ((at.x < params.in_height) & (at.y < params.in_width)) {
        let pixel = at.x * params.in_width + at.y;
        let start = base + pixel * params.a_pitch + first;
        let weights = (ky * params.kernel_w + kx) * channels;
        for (var c_block = 0u; c_block < channels; c_block += K_BLOCK) {
          var sum = Value();
          for (var c = c_block; c < min(c_block + K_BLOCK, channels); c++) {
            sum += prologue(a[start + c], image, pixel, first + c) * w[(weights + c) * params.n + column];
          }
          total += sum;
        }
      }
    }
  }
  y[params.y_offset + image * params.y_batch + row * params.y_pitch + column] = epilogue(total + bias[column], image, row, column);
}
